"""Clouds that keep a board waiting, each in its own way, and how it captures meanwhile."""

import asyncio
import contextlib
import json
import socket
import time
from dataclasses import dataclass

from viam.gen.proto.rpc.v1.auth_pb2 import AuthenticateResponse

from bench_support import SECRET, machine
from chaos.names import NAME
from chaos.peer import Peer
from chaos.rig import link, power_on
from chaos.wire import Tls, Wire
from cistern_tools.receiver.server import tls_context
from net_support import Certificates

HZ = 100
INTERVAL_MINS = 0.005
DEADLINE_MS = 2000  # of a call, so that a run sees it fail and start again
START_S = 30
TOKEN = AuthenticateResponse(access_token="token").SerializeToString()


@dataclass
class Waited:
    """captured, untimely (late or missed): readings. hung: times the board was kept waiting."""

    captured: int
    untimely: int
    hung: int

    @property
    def share(self):
        """Of the deadlines, how many were not served in time."""
        return self.untimely / max(self.captured, 1)


class StalledUpload:
    """Lets boards log in, and neither takes nor answers what comes after."""

    def __init__(self, context):
        self._context = context
        self.hung = 0

    async def serve(self, reader, writer):
        """One connection."""
        wire = Wire(reader, writer)
        with contextlib.suppress(Exception, asyncio.CancelledError):
            tls = Tls(wire, self._context)
            await tls.handshake()
            peer = Peer(tls, False)
            await peer.run(lambda event: self._on(peer, event))
        wire.cut()

    def _on(self, peer, event):
        headers = dict(getattr(event, "headers", ()))
        if not headers:
            return
        if headers[b":path"].endswith(b"/Authenticate"):
            stream, h2 = event.stream_id, peer.h2
            kind = b"content-type", b"application/grpc"
            h2.send_headers(stream, [(b":status", b"200"), kind])
            h2.send_data(stream, b"\0" + len(TOKEN).to_bytes(4, "big") + TOKEN)
            h2.send_headers(stream, [(b"grpc-status", b"0")], end_stream=True)
        else:
            self.hung += 1
            peer.go.clear()


class SilentServer:
    """Accepts connections and says nothing."""

    def __init__(self):
        self.hung = 0

    async def serve(self, reader, writer):
        """One connection."""
        self.hung += 1
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while await reader.read(4096):
                pass
        writer.close()


class DeadNameServer(asyncio.DatagramProtocol):
    """Takes queries and does not answer."""

    def __init__(self):
        self.hung = 0

    def datagram_received(self, data, addr):
        """Of asyncio: a query."""
        self.hung += 1


async def capture_while_waiting(folder, seconds):
    """Run boards at the same time: one for each way to hang, one without a cloud, and one whose
    sync blocks on purpose.

    Returns {way: Waited}; the last two are called "no cloud" and "blocked".
    """
    certificates = Certificates(folder)
    context = tls_context(*certificates.server("good", NAME))
    upload, other = StalledUpload(context), StalledUpload(context)
    silent, names = SilentServer(), DeadNameServer()
    (folder / "machine.json").write_text(json.dumps(machine({"fast": HZ}, INTERVAL_MINS)))
    (folder / "secret").write_text(SECRET)
    loop = asyncio.get_running_loop()
    hanging = upload, silent, other
    servers = [await asyncio.start_server(one.serve, "127.0.0.1", 0) for one in hanging]
    stalled, mute, last = [f"https://127.0.0.1:{s.sockets[0].getsockname()[1]}" for s in servers]
    dns, _ = await loop.create_datagram_endpoint(
        lambda: names, local_addr=("127.0.0.1", 0), family=socket.AF_INET
    )
    ways = {
        "no cloud": (None, {}, None),
        "stalled upload": (stalled, {}, upload),
        "hanging TLS handshake": (mute, {}, silent),
        "dead name server": (
            f"https://{NAME}:1",
            {"dns": dns.get_extra_info("sockname")[1]},
            names,
        ),
        "blocked": (last, {"harm": "block"}, other),
    }
    boards = {}
    try:
        for way, (url, settings, _) in ways.items():
            to = link(url, certificates.ca_file, folder / "secret") if url else ("--offline",)
            flash = folder / f"{way}.flash"
            more = {"deadline_ms": DEADLINE_MS, **settings}
            boards[way] = power_on(folder / "machine.json", flash, to, more)
        end = time.monotonic() + START_S + seconds
        while not all(_ran(board, seconds) for board in boards.values()):
            assert time.monotonic() < end, [board.log()[-500:] for board in boards.values()]
            await asyncio.sleep(0.1)
        found = {}
        for way, (_, _, by) in ways.items():
            row = boards[way].stream("fast/Readings")
            untimely = row["late"] + row["missed"]
            found[way] = Waited(row["captured"], untimely, by.hung if by else 0)
        return found
    finally:
        for board in boards.values():
            board.close()
        dns.close()
        for server in servers:
            server.close()


def _ran(board, seconds):
    seen = board.statuses()
    return bool(seen) and seen[-1]["t"] >= seconds
