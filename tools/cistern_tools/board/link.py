"""A board's REPL, through mpremote: files, questions, the log."""

import contextlib
import io
import json
import os
import struct
import time

from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport
from serial import SerialException

from cistern_tools.board import BoardError

# How long a board may be at something else, such as a start or a TLS handshake, before it sees
# that it was interrupted. MicroPython drops an interrupt that comes in the middle of a timer's
# callback, so it is told again.
INTERRUPT_S = 5
_TRIES = 6
ANSWER_S = 60
COMES_BACK_S = 5
SILENCE_S = 5  # in the middle of an exchange
_CHUNK = 256
_QUOTED = 200


class Link:
    """A board at a serial port. `with Link(port) as board:` raises BoardError for a bad port."""

    def __init__(self, port):
        self.port = port
        self._transport = None

    def __enter__(self):
        try:
            self._transport = SerialTransport(self.port, timeout=SILENCE_S)
        except (TransportError, SerialException, OSError, ValueError):
            there = os.path.exists(self.port)
            why = (
                "another program may use it, or you may not (Debian: be in the group dialout)"
                if there
                else "there is no such port; is the board plugged in?"
            )
            raise BoardError(f"{self.port} cannot be opened: {why}") from None
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, TransportError, SerialException):
            self._transport.close()

    def interrupt(self):
        """Stop the board's program, and take its REPL. Raises BoardError."""
        said = io.StringIO()
        for _ in range(_TRIES):
            with self._said(said), contextlib.suppress(TransportError, OSError):
                self._transport.enter_raw_repl(soft_reset=False, timeout_overall=INTERRUPT_S)
                return
        # What it heard instead, mpremote prints as bytes in Python's writing.
        heard = "".join(line for line in said.getvalue().splitlines() if line != "b''")
        heard = heard and f" (it said {heard[-_QUOTED:]})"
        raise BoardError(
            f"no MicroPython answers at {self.port}{heard}: press the board's reset button and "
            "try again, or flash it anew"
        )

    def run(self, program):
        """What a program prints on the board, as text. Raises BoardError with its last line."""
        try:
            with self._said(io.StringIO()):
                out, error = self._transport.exec_raw(program, timeout=ANSWER_S)
        except (TransportError, SerialException, OSError, struct.error) as e:
            raise BoardError(f"the board at {self.port} stopped answering: {e}") from None
        if error:
            last = error.decode(errors="replace").strip().splitlines()[-1]
            raise BoardError(f"the board refused: {last}")
        return out.decode(errors="replace")

    def ask(self, program):
        """The JSON that a program prints last. Raises BoardError."""
        said = self.run(program).strip()
        try:
            return json.loads(said.splitlines()[-1])
        except (ValueError, IndexError):
            raise BoardError(f"the board's answer makes no sense: {said[-_QUOTED:]!r}") from None

    def read(self, path):
        """The bytes of a file, or None. Raises BoardError."""
        try:
            return bytes(self._transport.fs_readfile(path))
        except OSError:
            return None
        except TransportError as e:
            raise BoardError(f"{path} cannot be read from the board: {e}") from None

    def replace(self, path, data):
        """Write a file in such a way that a power cut leaves the old or the new one whole."""
        fresh = path + ".new"
        try:
            self._transport.fs_writefile(fresh, data, chunk_size=_CHUNK)
            # LittleFS renames over an existing file, and atomically.
            self._transport.exec(f"import os; os.rename({fresh!r}, {path!r})")
        except (TransportExecError, TransportError, OSError) as e:
            raise BoardError(f"{path} cannot be written to the board: {e}") from None

    def restart(self):
        """Let the board start its program again: a soft reset from the friendly REPL."""
        with contextlib.suppress(OSError, SerialException, TransportError):
            self._transport.exit_raw_repl()
            self._transport.read_until(1, b">>> ", timeout=1)
            self._transport.serial.write(b"\x04")

    def follow(self, write, until=None):
        """Pass on what the board says, without a word to it, until until() is true."""
        serial = self._transport.serial
        while until is None or not until():
            try:
                waiting = serial.in_waiting
                data = serial.read(waiting) if waiting else b""
            except (SerialException, OSError) as e:
                raise BoardError(f"the board at {self.port} went away: {e}") from None
            if data:
                write(data)
            else:
                time.sleep(0.02)

    @staticmethod
    def _said(text):
        """mpremote prints what it did not understand."""
        return contextlib.redirect_stdout(text)


@contextlib.contextmanager
def stopped(port):
    """A Link whose program is interrupted, and started again in the end."""
    with Link(port) as board, paused(board):
        yield board


@contextlib.contextmanager
def paused(board):
    """Interrupt the program of a Link, and start it again in the end."""
    board.interrupt()
    try:
        yield
    finally:
        board.restart()


@contextlib.contextmanager
def started(port):
    """As stopped(), of a board that was reset this moment: where its chip has USB itself, the port
    is gone for a while.
    """
    end = time.monotonic() + COMES_BACK_S
    while not os.path.exists(port) and time.monotonic() < end:
        time.sleep(0.1)
    with stopped(port) as board:
        yield board
