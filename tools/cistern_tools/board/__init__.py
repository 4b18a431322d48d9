"""A board at a serial port: its loader (esptool) and its REPL (mpremote)."""


class BoardError(Exception):
    """What was asked of a board failed; the message says why and what to do."""
