"""Real HTTP/2 servers over TLS, from the device's side; each is named by its test."""

import sys

import pytest

from net_support import (
    HERE,
    INTERPRETERS,
    NAME,
    Certificates,
    client,
    free_port,
    process,
    program,
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def files(certificates):
    return certificates.server()


@pytest.fixture
def tls(certificates):
    return {"ca": certificates.ca_file, "server_name": NAME}


def good(results):
    for row in results.values():
        assert row["ok"], row
    return results


@pytest.mark.parametrize("name", INTERPRETERS)
def test_grpclib_with_viams_stubs(name, files, tls):
    with process(sys.executable, str(HERE / "net_grpclib_server.py"), *files) as port:
        good(client(name, port, ["upload", "stranger", "file_upload", "upload.again"], tls))


@pytest.mark.parametrize("name", INTERPRETERS)
def test_grpcio_behind_a_terminator(name, files, tls):
    with (
        process(sys.executable, str(HERE / "net_grpcio_server.py")) as clear,
        process(sys.executable, str(HERE / "net_terminator.py"), *files, str(clear)) as port,
    ):
        results = client(
            name, port, ["large_unary", "call", "ten"], tls,
            path="/grpc.testing.TestService/Echo", message="hello",
        )
        assert good(results)["call"]["text"] == "hello"


def test_grpcio_itself_wants_alpn_which_cpython_has(files, tls):
    with process(sys.executable, str(HERE / "net_grpcio_server.py"), *files) as port:
        good(client("cpython", port, ["large_unary", "ping_pong"], tls))


def test_grpcio_itself_wants_alpn_which_micropython_lacks(files, tls):
    with process(sys.executable, str(HERE / "net_grpcio_server.py"), *files) as port:
        row = client("micropython", port, ["large_unary"], tls)["large_unary"]
    assert not row["ok"] and row["layer"] == "tls" and not row["maybe_seen"]
    assert "ALPN" in row["text"] and "closed the connection" in row["text"], row["text"]


@pytest.mark.parametrize("name", INTERPRETERS)
def test_node_http2(name, files, tls):
    node = program("node", "nodejs")
    with process(node, str(HERE / "net_node_server.js"), *files) as port:
        results = client(name, port, ["call", "ten"], tls, path="/any", message="x" * 3000)
        assert good(results)["call"]["text"] == "x" * 3000


@pytest.mark.parametrize("name", INTERPRETERS)
def test_nghttpd(name, files, tls, tmp_path):
    nghttpd = program("nghttpd", "nghttp2-server")
    (tmp_path / "answer.grpc").write_bytes(b"\0\0\0\x27\x10" + b"y" * 10000)
    (tmp_path / "types").write_text("application/grpc grpc\n")
    port = free_port()
    with (
        process(
            nghttpd, "--no-tls", "-a", "127.0.0.1", "-d", str(tmp_path), "--trailer",
            "grpc-status: 0", "--mime-types-file", str(tmp_path / "types"), str(port), port=port,
        ),
        process(sys.executable, str(HERE / "net_terminator.py"), *files, str(port)) as front,
    ):
        results = client(name, front, ["call", "ten"], tls, path="/answer.grpc", message="x")
        assert good(results)["call"]["text"] == "y" * 10000
        row = client(name, front, ["call"], tls, path="/missing")["call"]
        assert row["status"] == 12 and "404" in row["text"]
