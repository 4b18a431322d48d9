"""firmware/usermod/alpn with the real mbedTLS, between a stand-in for MicroPython's objects
(tests_host/alpn_harness/harness.c, with AddressSanitizer) and real servers."""

import contextlib
import os
import select
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from net_support import HERE, NAME, Certificates, missing, process, program

FOLDER = HERE / "alpn_harness"
ALPN_EXTENSION = 16  # RFC 7301, 3.1
NO_COMMON_PROTOCOL = "mbedTLS: -0x7780"  # the server's fatal alert


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def files(certificates):
    return certificates.server()


def need_mbedtls():
    compiler = shutil.which("cc") or missing("cc (Debian: gcc)")
    source = "#include <mbedtls/ssl.h>\n"
    done = subprocess.run(
        [compiler, "-E", "-"], input=source, capture_output=True, text=True, check=False
    )
    if done.returncode:
        missing("mbedTLS's headers (Debian: libmbedtls-dev)")
    return compiler


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    """The program, built by micropython.mk."""
    need_mbedtls()
    out = tmp_path_factory.mktemp("harness")
    subprocess.run(
        [program("make", "make"), "-C", str(FOLDER), f"OUT={out}", f"{out}/harness"],
        capture_output=True, text=True, check=True, env=plain_environment(),
    )
    return out / "harness"


def plain_environment():
    """Without the options of a make that runs these tests."""
    return {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


class Device:
    """The harness at work: device("set h2") sends a line and returns the answer."""

    def __init__(self, path, ca):
        self.child = subprocess.Popen(
            [str(path), ca, NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        assert select.select([self.child.stdout], [], [], 20)[0], f"no answer to {line!r}"
        answer = self.child.stdout.readline()
        assert answer, f"{line!r} ended the program"
        return answer.rstrip("\n")

    def connect(self, name, port, context=None):
        """A socket of a context of its own, or of an older one; no handshake yet."""
        if context is None:
            context = "of_" + name
            assert self(f"context {context}") == "ok"
        assert self(f"socket {name} {context} {port}") == "ok"

    def end(self):
        self.child.stdin.close()
        self.child.stdout.close()
        assert self.child.wait(20) == 0, "the sanitizer found something, see above"


@contextlib.contextmanager
def running(path, ca):
    device = Device(path, ca)
    try:
        yield device
        device.end()
    finally:
        device.child.kill()
        device.child.wait()


@pytest.fixture
def device(harness, certificates):
    with running(harness, certificates.ca_file) as it:
        yield it


def hang_up(connection):
    with contextlib.suppress(OSError), connection:
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def listening(serve):
    """A TCP server that calls serve(connection) in a thread for each; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads, connections = [], []

        def one(connection, held):
            with contextlib.suppress(OSError), connection:
                serve(connection)
            hang_up(held)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    held = connection.dup()  # TLS takes the other one over
                    connections.append(held)
                    threads.append(threading.Thread(target=one, args=(connection, held)))
                    threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for held in connections:
                hang_up(held)
            for thread in threads:
                thread.join()


@contextlib.contextmanager
def tls_server(files, *protocols):
    """Yields the port of a server that speaks these protocols; none: one without ALPN."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    if protocols:
        context.set_alpn_protocols(protocols)

    def serve(connection):
        with context.wrap_socket(connection, server_side=True) as tls:
            while tls.recv(100):
                pass

    with listening(serve) as port:
        yield port


def offered(hello):
    """The ALPN protocols of a TLS record with a ClientHello (RFC 8446, 4.1.2), None for none."""
    at = 5 + 4 + 2 + 32  # record, handshake, version, random
    at += 1 + hello[at]  # session
    at += 2 + int.from_bytes(hello[at : at + 2], "big")  # cipher suites
    at += 1 + hello[at]  # compression
    at += 2
    while at < len(hello):
        kind, size = struct.unpack_from(">HH", hello, at)
        at += 4
        if kind == ALPN_EXTENSION:
            names, here = [], at + 2
            while here < at + size:
                names.append(hello[here + 1 : here + 1 + hello[here]].decode())
                here += 1 + hello[here]
            return names
        at += size
    return None


@contextlib.contextmanager
def eavesdropper():
    """Yields the port of a server that hangs up after the ClientHello, and what those offered."""
    seen = []

    def serve(connection):
        hello = b""
        while len(hello) < 5 or len(hello) < 5 + int.from_bytes(hello[3:5], "big"):
            hello += connection.recv(4096)
        seen.append(offered(hello))

    with listening(serve) as port:
        yield port, seen


def test_offered_as_set_and_not_when_off(device):
    with eavesdropper() as (port, seen):
        for setting in (None, "h2", "http/1.1 h2", "None", "h2", ""):
            if setting is not None:
                assert device(f"set {setting}") == "None"
            name = f"s{len(seen)}"
            device.connect(name, port)
            assert device(f"handshake {name}").startswith("mbedTLS: ")
            assert device(f"selected {name}").startswith("OSError")
    assert seen == [None, ["h2"], ["http/1.1", "h2"], None, ["h2"], None]


@pytest.mark.parametrize(
    ("setting", "server", "chosen"),
    [
        ("h2", ["h2"], "h2"),
        ("h2 http/1.1", ["http/1.1"], "http/1.1"),
        ("h2 http/1.1", ["http/1.1", "h2"], "http/1.1"),
        ("h2", [], "None"),
        ("None", ["h2"], "None"),
    ],
)
def test_selected_is_what_the_server_chose(device, files, setting, server, chosen):
    with tls_server(files, *server) as port:
        device(f"set {setting}")
        device.connect("s", port)
        assert device("handshake s") == "ok"
        assert device("selected s") == chosen
        assert device("close s") == "ok"


def test_a_grpc_server_wants_h2(device, files):
    with process(sys.executable, str(HERE / "net_grpcio_server.py"), *files) as port:
        device.connect("without", port)
        assert device("handshake without") == "ok"
        assert device("hello without") == "closed"
        device("set h2")
        device.connect("with", port)
        assert device("handshake with") == "ok"
        assert device("hello with") == "frame of type 4"  # SETTINGS
        assert device("selected with") == "h2"


def test_a_server_with_other_protocols_only(device, certificates):
    """Node refuses, as RFC 7301, 3.2 says; OpenSSL's own way is to go on without."""
    node = program("node", "nodejs")
    cert, key = certificates.server("node")
    script = (
        "const fs = require('fs'), tls = require('tls');"
        "const s = tls.createServer({cert: fs.readFileSync(process.argv[1]),"
        "key: fs.readFileSync(process.argv[2]), ALPNProtocols: ['http/1.1']});"
        "s.on('tlsClientError', () => {});"
        "s.listen(0, '127.0.0.1', () => console.log(s.address().port));"
    )
    with process(node, "-e", script, cert, key) as port:
        device("set h2")
        device.connect("s", port)
        assert device("handshake s") == NO_COMMON_PROTOCOL
        assert device("selected s").startswith("OSError")


def test_sockets_keep_what_was_set_when_they_were_made(device, files):
    with tls_server(files, "h2", "http/1.1") as port:
        device("set h2")
        device.connect("a", port)
        device("set http/1.1")
        device.connect("b", port)
        device("set None")
        device.connect("c", port)
        for name in "cba":
            assert device(f"handshake {name}") == "ok"
        assert [device(f"selected {name}") for name in "abc"] == ["h2", "http/1.1", "None"]
        # Which is a matter of the SSLContext: it keeps what its sockets were given last.
        device.connect("again", port, "of_a")
        assert device("handshake again") == "ok"
        assert device("selected again") == "h2"


def test_before_the_handshake_and_after_close(device, files):
    with tls_server(files, "h2") as port:
        device("set h2")
        device.connect("s", port)
        assert device("selected s").startswith("OSError: Transport endpoint is not connected")
        assert device("handshake s") == "ok"
        assert device("selected s") == "h2"
        assert "ECDSA" in device("cipher s")
        assert device("close s") == "ok"
        assert device("selected s").startswith("OSError")


def test_other_objects(device):
    assert device("selected int") == "AttributeError: cipher"
    assert device("selected liar") == "TypeError: alpn: not an SSLSocket"


@pytest.mark.parametrize(
    ("names", "error"),
    [
        ("-", "ValueError: alpn: empty name, or NUL in a name"),
        ("h2 %0", "ValueError: alpn: empty name, or NUL in a name"),
        ("5", "TypeError: can't convert to str"),
        ("a b c d e", "ValueError: alpn: at most 4 names"),
        ("x" * 48, "ValueError: alpn: names too long"),
        ("x" * 70, "ValueError: alpn: names too long"),
        (f"{'x' * 46} y", "ValueError: alpn: names too long"),
    ],
)
def test_bad_lists_are_refused_and_change_nothing(device, names, error):
    assert device("set h2") == "None"
    assert device(f"set {names}") == error
    with eavesdropper() as (port, seen):
        device.connect("s", port)
        device("handshake s")
    assert seen == [["h2"]]


def test_the_longest_list_fits(device):
    names = ["x" * 40, "y", "z", "h2"]  # 40 + 1 + 1 + 2, and 4 NULs
    with eavesdropper() as (port, seen):
        assert device(f"set {' '.join(names)}") == "None"
        device.connect("s", port)
        device("handshake s")
    assert seen == [names]


def test_lists_are_kept_for_ever_so_there_are_four(device):
    for _ in range(3):
        for names in ("h2", "h2 http/1.1", "http/1.1", "h2c"):
            assert device(f"set {names}") == "None"
    assert device("set h3") == "ValueError: alpn: at most 4 different lists until a reset"
    assert device("set h2") == "None"


def test_a_soft_reset_switches_it_off(device):
    device("set h2")
    assert device("init") == "None"
    with eavesdropper() as (port, seen):
        device.connect("s", port)
        device("handshake s")
    assert seen == [None]


def test_the_cmake_description_builds_it_too(certificates, files, tmp_path):
    need_mbedtls()
    cmake = program("cmake", "cmake")
    for arguments in (["-S", str(FOLDER), "-B", str(tmp_path)], ["--build", str(tmp_path)]):
        subprocess.run(
            [cmake, *arguments], capture_output=True, check=True, env=plain_environment()
        )
    with (
        tls_server(files, "h2") as port,
        running(tmp_path / "harness", certificates.ca_file) as device,
    ):
        device("set h2")
        device.connect("s", port)
        assert device("handshake s") == "ok"
        assert device("selected s") == "h2"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("#undef MBEDTLS_SSL_ALPN", "set CONFIG_MBEDTLS_SSL_ALPN=y in the board's sdkconfig"),
        ("#define CONFIG_MBEDTLS_DYNAMIC_BUFFER", "DYNAMIC_BUFFER wraps mbedtls_ssl_setup, too"),
    ],
)
def test_settings_that_cannot_work_are_named(tmp_path, line, text):
    compiler = need_mbedtls()
    (tmp_path / "user.h").write_text(line + "\n")
    done = subprocess.run(
        [
            compiler, "-fsyntax-only", f"-I{FOLDER}", f"-I{tmp_path}",
            '-DMBEDTLS_USER_CONFIG_FILE="user.h"',
            str(Path(HERE.parent / "firmware/usermod/alpn/alpn.c")),
        ],
        capture_output=True, text=True, check=False,
    )
    assert done.returncode and text in done.stderr, done.stderr
