"""gRPC's interop cases against grpc-go's own server and against grpcio, from both interpreters."""

import sys

import pytest

from net_support import HERE, INTERPRETERS, NAME, Certificates, client, free_port, go_tool, process

CASES = (
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong",
    "empty_stream", "custom_metadata", "status_code_and_message", "special_status_message",
    "unimplemented_method", "unimplemented_service", "cancel_after_begin",
    "cancel_after_first_response", "timeout_on_sleeping_server",
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def servers(certificates):
    """{name: (port, tls)}"""
    cert, key = certificates.server()
    tls = {"ca": certificates.ca_file, "server_name": NAME}
    tool = go_tool("server")
    clear, secure = free_port(), free_port()
    with (
        process(tool, f"--port={clear}", port=clear),
        process(
            tool, f"--port={secure}", "--use_tls", f"--tls_cert_file={cert}",
            f"--tls_key_file={key}", port=secure,
        ),
        process(sys.executable, str(HERE / "net_grpcio_server.py")) as grpcio,
    ):
        yield {
            "grpc-go in clear text": (clear, None),
            "grpc-go over TLS": (secure, tls),
            "grpcio in clear text": (grpcio, None),
        }


@pytest.fixture(scope="module")
def results(servers):
    """Every case against a server is run in one client; each is reported by itself."""
    known = {}

    def run(name, server):
        if (name, server) not in known:
            port, tls = servers[server]
            known[name, server] = client(name, port, CASES, tls)
        return known[name, server]

    return run


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "server", ["grpc-go in clear text", "grpc-go over TLS", "grpcio in clear text"]
)
@pytest.mark.parametrize("name", INTERPRETERS)
def test_interop(results, name, server, case):
    row = results(name, server)[case]
    assert row["ok"], row["text"]
