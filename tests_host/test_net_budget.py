"""What net/ may cost a board: code (which is heap there) and the memory of a connection."""

import sys

from net_support import HERE, process

sys.path.insert(0, str(HERE / "bench"))

import net

CODE = 15 * 1024  # .mpy at -O3 that a client loads; DESIGN.md, law 8
SERVER = 4 * 1024  # what the server's role adds
TRIES = 3
HEAP = 8 * 1024  # live heap of a connection with an upload of 1 MB under way, without TLS


def test_code():
    sizes = net.code_size()
    assert sum(n for module, n in sizes.items() if module not in net.LAZY) <= CODE, sizes
    assert sizes["h2_server"] <= SERVER, sizes


def test_heap():
    """On a PC every pointer has 64 bits, so a board needs less."""
    peaks = []
    with process(sys.executable, str(HERE / "net_grpcio_server.py")) as port:
        # On a busy machine frames of the server pile up, and what they say is held for longer.
        while len(peaks) < TRIES and not (peaks and min(peaks) <= HEAP):
            peak, _ = net.ours("micropython", {"what": "memory", "port": port, "size": 1 << 20})
            peaks.append(peak)
    assert min(peaks) <= HEAP, peaks
