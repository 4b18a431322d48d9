"""What goes wrong before HTTP/2 begins, and what a user is told; on both interpreters."""

import contextlib
import socket
import subprocess
import sys
import threading

import pytest

from net_support import HERE, INTERPRETERS, NAME, Certificates, client, interpreter, process

BOTH = pytest.mark.parametrize("name", INTERPRETERS)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates):
    with process(
        sys.executable, str(HERE / "net_grpclib_server.py"), *certificates.server()
    ) as port:
        yield port


@contextlib.contextmanager
def raw_server(serve):
    """A TCP server: serve(connection) for each one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections = []

        def run():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connections.append(connection)
                    serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in connections:
                connection.close()


def fault(name, port, tls, **options):
    row = client(name, port, ["stranger"], tls, **options)["stranger"]
    assert not row["ok"] and not row["maybe_seen"], row
    return row


@BOTH
def test_pem_with_several_certificates_and_der_are_taken(name, server, certificates):
    for ca in (certificates.two(), certificates.der()):
        row = client(name, server, ["stranger"], {"ca": ca, "server_name": NAME})["stranger"]
        assert row["ok"], row


@BOTH
def test_an_address_in_the_certificate_needs_no_name(name, server, certificates):
    assert client(name, server, ["stranger"], {"ca": certificates.ca_file})["stranger"]["ok"]


@BOTH
def test_an_unknown_ca(name, server, certificates):
    row = fault(name, server, {"ca": certificates.other_ca(), "server_name": NAME})
    assert row["layer"] == "tls" and not row["retry"], row
    assert f"{NAME} is not signed by a trusted CA" in row["text"]


@BOTH
def test_a_wrong_host_name(name, server, certificates):
    row = fault(name, server, {"ca": certificates.ca_file, "server_name": "other.test"})
    assert row["layer"] == "tls" and not row["retry"], row
    assert "not for the name other.test" in row["text"]


@BOTH
@pytest.mark.parametrize(
    ("days", "text"), [((-30, -1), "has expired"), ((5, 30), "not valid yet")]
)
def test_a_certificate_out_of_its_time(name, certificates, days, text):
    files = certificates.server(f"days{days[0]}", days=days)
    with process(sys.executable, str(HERE / "net_grpclib_server.py"), *files) as port:
        row = fault(name, port, {"ca": certificates.ca_file, "server_name": NAME})
    assert row["layer"] == "tls" and row["retry"] and text in row["text"], row


@BOTH
def test_insecure_says_so_and_verifies_nothing(name, server):
    row = client(name, server, ["stranger"], {"insecure": True, "server_name": "x"})["stranger"]
    assert row["ok"], row


def test_micropython_has_no_ca_of_its_own(server):
    row = fault("micropython", server, {"server_name": NAME})
    assert row["layer"] == "tls" and "CA certificates" in row["text"]


@BOTH
def test_ca_certificates_that_are_none(name, server, tmp_path):
    (tmp_path / "ca").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    row = fault(name, server, {"ca": str(tmp_path / "ca"), "server_name": NAME})
    assert row["layer"] == "tls" and "cannot be read" in row["text"] and not row["retry"]


@BOTH
def test_a_client_certificate(name, certificates):
    cert, key = certificates.server("client", "device")
    tls = {"ca": certificates.ca_file, "server_name": NAME}
    files = certificates.server("demanding")
    script = str(HERE / "net_grpclib_server.py")
    with process(sys.executable, script, *files, certificates.ca_file) as port:
        row = client(name, port, ["stranger"], {**tls, "cert": cert, "key": key})["stranger"]
        assert row["ok"], row
        row = client(name, port, ["stranger"], tls)["stranger"]
        assert not row["ok"] and row["layer"] in ("tls", "connect"), row
        row = fault(name, port, {**tls, "cert": cert, "key": certificates.ca_file})
        assert row["layer"] == "tls" and "client certificate" in row["text"]


@BOTH
def test_nobody_listens(name):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    row = fault(name, port, None)
    assert row["layer"] == "connect" and row["retry"] and "refused" in row["text"].lower()
    assert str(port) in row["text"]


@BOTH
def test_the_server_closes_during_the_handshake(name, certificates):
    def serve(connection):
        connection.recv(100)
        connection.close()

    with raw_server(serve) as port:
        row = fault(name, port, {"ca": certificates.ca_file, "server_name": NAME})
    assert row["layer"] == "tls" and "during the TLS handshake" in row["text"], row


@BOTH
def test_the_server_does_not_speak_tls(name, certificates):
    with raw_server(lambda c: c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)) as port:
        row = fault(name, port, {"ca": certificates.ca_file, "server_name": NAME})
    assert row["layer"] == "tls" and "handshake" in row["text"], row


CONNECT = """
import asyncio, sys
from cistern.errors import LinkError
{module}
async def main():
    ticks = []
    async def tick():
        while True:
            await asyncio.sleep(0.01)
            ticks.append(1)
    task = asyncio.create_task(tick())
    try:
        s = await connect({host!r}, {port}, {tls}, 700)
        await s.write(b"x")
        print("connected")
    except LinkError as e:
        print(e.layer, e)
    print(len(ticks))
    task.cancel()
asyncio.run(main())
"""


def connecting(name, host, port, tls=None, module=None):
    """What a bare connect() says, and how often another task ran meanwhile."""
    command, env = interpreter(name)
    stream = "stream_host" if name == "cpython" else "stream_mpy"
    module = module or f"from cistern.port.{stream} import connect"
    done = subprocess.run(
        [*command, "-c", CONNECT.format(module=module, host=host, port=port, tls=tls)],
        env=env, capture_output=True, text=True, timeout=30, check=False,
    )
    assert done.returncode == 0, done.stderr
    text, ticks = done.stdout.strip().rsplit("\n", 1)
    return text, int(ticks)


@BOTH
def test_a_silent_server_stops_nobody(name):
    """The handshake has a limit, and other tasks run while it waits."""
    with raw_server(lambda c: None) as port:
        text, ticks = connecting(name, "127.0.0.1", port, {"insecure": True})
    assert text.split()[0] in ("tls", "connect") and ticks > 20, (text, ticks)


NAME_SERVER = """
from cistern.port import stream_mpy, unix
connect = unix.Port.connect
unix.name_server = lambda: ("127.0.0.1", {})
stream_mpy.DNS_TRIES_MS = (100, 100)
"""


@contextlib.contextmanager
def name_server(answer):
    """A DNS server; answer(query) gives a packet or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))

        def run():
            while True:
                query, sender = s.recvfrom(512)
                if not query:
                    return
                packet = answer(query)
                for p in packet or ():
                    s.sendto(p, sender)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield s.getsockname()[1]
        finally:
            s.sendto(b"", s.getsockname())
            thread.join()


def test_micropython_resolves_names_without_blocking():
    def answer(query):
        found = query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:]
        return b"junk", found + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"

    with raw_server(lambda c: None) as port, name_server(answer) as dns:
        text, _ = connecting("micropython", "cloud.test", port, None, NAME_SERVER.format(dns))
    assert text == "connected"


def test_a_name_that_does_not_exist_or_a_name_server_that_is_silent():
    def refuse(query):
        return [query[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + query[12:]]

    for answer, expected in ((refuse, "no such name"), (lambda q: None, "does not answer")):
        with name_server(answer) as dns:
            text, ticks = connecting("micropython", "no.test", 1, None, NAME_SERVER.format(dns))
        assert text.startswith("dns ") and expected in text and "no.test" in text
    assert ticks > 5  # others ran while the silent one was waited for


@BOTH
def test_an_unknown_name(name):
    text, _ = connecting(name, "nosuch.invalid", 443)
    assert text.split()[0] in ("dns", "connect") and "nosuch.invalid" in text
