"""A chip's loader at a serial port, played by esp32-mock-bootloader in this process, so that what
is on its flash can be looked at and spoilt.
"""

import threading

from esp32_mock_bootloader import server

# How long the loader waits for the PC to acknowledge what it reads: a chip waits for ever.
PATIENCE_S = 5


class Rom:
    """A chip: `flash` is a bytearray of 4 MiB. Every port() is for one connection."""

    def __init__(self, chip="esp32"):
        server._CLIENT_RECV_TIMEOUT = PATIENCE_S
        self._chip = chip
        self._image = server.FlashImage()
        self._threads = []
        self._stop = threading.Event()

    @property
    def flash(self):
        """What is on it."""
        return self._image.data

    def wear_out(self, address):
        """From now on a bit at this address stays 1, whatever is written."""
        worn = bytearray(self.flash)

        class Worn(bytearray):
            def __setitem__(self, at, value):
                super().__setitem__(at, value | 1 if at == address else value)

        self._image.data = Worn(worn)

    def port(self):
        """A path for pyserial."""
        transport = server.PtyMasterTransport.create(track_disconnect=True)
        path = transport.client_path
        thread = threading.Thread(target=self._serve, args=(transport,), daemon=True)
        thread.start()
        self._threads.append(thread)
        return path

    def _serve(self, transport):
        server.handle_client(
            server.BootloaderConnection(pty=transport, track_disconnect=True),
            self._stop,
            self._chip,
            exit_on_disconnect=True,
            flash=self._image,
        )

    def close(self):
        """No more connections."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_S)
            assert not thread.is_alive()
