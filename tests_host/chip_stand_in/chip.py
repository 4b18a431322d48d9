"""Starts a chip on the PC from an image (device/board.py)."""

import contextlib
import json
import os
import pty
import select
import signal
import socketserver
import struct
import threading
import time
import tty
from pathlib import Path

from chip_stand_in import stubs
from cistern_tools.image import contents, firmware, nvs
from support import micropython_command

DEVICE = Path(__file__).parent / "device"
MODULES = (
    *("esp", "esp32", "gc", "machine", "network", "os", "select", "socket", "sys", "time", "tls"),
)
# The chip has some 150 KB; words here are twice as wide, and the stand-ins are code in it, too.
HEAP = 1024 * 1024


def command(folder, image, ssid, psk, *options, jumps=None):
    """The command of a chip on which `image` was flashed; None for the one of the last time.

    ssid, psk: of the network that there is. What the chip writes goes to folder/chip.bin, and to
    folder/nvs.json what it writes to its NVS. jumps: None for the PC's time, or {"until_s": when
    Ctrl-C comes, "outside": [[second, what the network is like from then on]]} on a clock that
    goes on when all wait (device/outside_behaviour.py).
    """
    folder = Path(folder)
    flash, store = folder / "chip.bin", folder / "nvs.json"
    rtc = folder / "rtc.bin"
    if image is not None or not rtc.exists() or rtc.read_bytes()[:1] != b"\1":
        rtc.write_bytes(b"")
    if image is not None:
        flash.write_bytes(image)
        spaces = nvs.read(contents.part(image, firmware.find(image).table, "nvs"))
        store.write_text(
            json.dumps({s: {k: v.hex() for k, v in kv.items()} for s, kv in spaces.items()})
        )
    settings = {
        "image": str(flash),
        "nvs": str(store),
        "table": stubs.table(MODULES),
        "ssid": ssid,
        "psk": psk,
        "rtc": str(rtc),
        "jumps": jumps,
    }
    (folder / "chip.json").write_text(json.dumps(settings))
    interpreter = micropython_command()
    return [
        *(*interpreter, "-X", f"heapsize={HEAP}", *options),
        *(str(DEVICE / "board.py"), str(folder / "chip.json")),
    ]


class _Time(socketserver.BaseRequestHandler):
    """RFC 5905: what an SNTP client needs of an answer."""

    def handle(self):
        query, sock = self.request
        seconds = time.time() + 2208988800  # from 1900
        stamp = struct.pack(">II", int(seconds), int(seconds % 1 * 2**32))
        answer = bytes((0x24, 1, 0, 0)) + bytes(20) + query[40:48] + stamp + stamp
        self.server.alter(sock, self.client_address, answer)


def _as_it_is(sock, client, answer):
    sock.sendto(answer, client)


def stamped(utc_s):
    """The transmit timestamp of a time, for an answer that says so."""
    return struct.pack(">II", (int(utc_s) + 2208988800) % 2**32, 0)


@contextlib.contextmanager
def time_server(alter=_as_it_is):
    """A time server on this PC; yields "host:port". alter(sock, client, answer): sends something
    in place of an answer.
    """
    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), _Time) as server:
        server.alter = alter
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield "{}:{}".format(*server.server_address)
        finally:
            server.shutdown()


class Serial:
    """A chip at a serial port: `port` is a path that mpremote opens.

    When its program ends at the REPL's Ctrl-D, which is a soft reset on the chip, it starts again;
    `starts` counts. `said` is all that it printed.
    """

    def __init__(self, command):
        self._command = command
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.said = b""
        self.starts = 0
        self._over = False
        self._start()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def _start(self):
        self.starts += 1
        self._pid, self._chip = pty.fork()
        if self._pid == 0:
            tty.setraw(0)
            os.execv(self._command[0], self._command)
        # Bytes that come after Ctrl-C, while the program still stops: a terminal forgets them when
        # the REPL sets it up, a UART's buffer does not.
        self._held = None

    def _pump(self):
        while not self._over:
            ready, _, _ = select.select([self._master, self._chip], [], [], 0.05)
            if self._chip in ready:
                self._from_chip()
            if self._master in ready:
                self._to_chip(os.read(self._master, 4096))

    def _from_chip(self):
        try:
            data = os.read(self._chip, 4096)
        except OSError:  # its end of the terminal is closed
            data = b""
        if not data:
            os.close(self._chip)
            os.waitpid(self._pid, 0)
            self._start()
            return
        self.said += data
        os.write(self._master, data)
        if self._held is not None and self._at_repl():
            held, self._held = self._held, None
            os.write(self._chip, held)

    def _at_repl(self):
        return self.said.endswith((b">>> ", b"\r\n>"))

    def _to_chip(self, data):
        _, stop, tail = data.rpartition(b"\x03")
        if stop and not self._at_repl():
            os.write(self._chip, stop)
            self._held = tail
        elif self._held is not None:
            self._held += data
        else:
            os.write(self._chip, data)

    def say(self, data):
        """Have the board print this."""
        os.write(self._master, data)

    def close(self):
        """Cut the power."""
        self._over = True
        self._thread.join()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        for descriptor in (self._chip, self._master, self._slave):
            os.close(descriptor)


@contextlib.contextmanager
def at_serial(command):
    """A Serial that is gone in the end."""
    serial = Serial(command)
    try:
        yield serial
    finally:
        serial.close()
