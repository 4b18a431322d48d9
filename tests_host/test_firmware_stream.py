"""The byte stream of MicroPython with the firmware's alpn module, which a stand-in plays here:
test_firmware_alpn.py has the real one."""

import json
import os
import subprocess
import sys

import pytest

from net_support import HERE, NAME, Certificates, interpreter, process

MODULE = """
calls = []
def set(names):
    calls.append(names)
def selected(socket):
    calls.append(type(socket).__name__)
    return "h2"
"""
SCRIPT = """
import asyncio, json, sys
import alpn
from cistern.errors import LinkError
from cistern.port.stream_mpy import connect

async def main(port, tls):
    said = []
    if tls:
        with open(tls["ca"], "rb") as f:
            tls["ca"] = f.read()
    try:
        stream = await connect("127.0.0.1", port, tls)
        said.append(stream.alpn)
        await stream.write(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n")
        said.append(stream.alpn)
        await stream.write(bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
        stream.close()
    except LinkError as e:
        said.append(e.layer)
    print(json.dumps([said, alpn.calls]))

asyncio.run(main(*json.loads(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def said(folder, port, tls):
    """([stream.alpn after connect(), after the first write] or [layer of the error], calls)"""
    (folder / "alpn.py").write_text(MODULE)
    (folder / "script.py").write_text(SCRIPT)
    command, env = interpreter("micropython")
    done = subprocess.run(
        [*command, str(folder / "script.py"), json.dumps([port, tls])],
        env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=True,
    )
    return json.loads(done.stdout)


def test_h2_is_offered_by_this_connection_only(certificates, tmp_path):
    tls = {"ca": certificates.ca_file, "server_name": NAME}
    script = str(HERE / "net_grpclib_server.py")
    with process(sys.executable, script, *certificates.server()) as port:
        alpn, calls = said(tmp_path, port, tls)
    assert alpn == [None, "h2"]
    assert calls == [["h2"], None, "SSLSocket"]


def test_a_failure_leaves_nothing_switched_on(certificates, tmp_path):
    script = str(HERE / "net_grpclib_server.py")
    with process(sys.executable, script, *certificates.server()) as port:
        layer, calls = said(tmp_path, port, {"ca": script, "server_name": NAME})
    assert layer == ["tls"]
    assert calls[-1] is None


def test_clear_text_is_asked_nothing(tmp_path):
    with process(sys.executable, str(HERE / "net_grpcio_server.py")) as port:
        alpn, calls = said(tmp_path, port, None)
    assert alpn == [None, None] and calls == [None]
