"""The code of a user's own model, held off from what must go on whatever that does."""

import sys

from cistern.resources import ResourceError, Source

_STATE = 4096  # bytes of the interpreter's state; it takes about 1 KB on a chip
_CODES = ("bool", "int", "u16", "f32", "f64", "string", "null")
_ASYNC = "its readings() is a coroutine function: leave async out"
_COROUTINE = "its read is a coroutine function: give its Source a third argument True"


def from_console(error):
    """Whether an exception is a Ctrl-C of the console, and not the doing of the code it came in.

    MicroPython has one object for Ctrl-C, in the interpreter's state, where `sys.modules` is, too;
    one that a program raises is made in the heap.
    """
    if not isinstance(error, KeyboardInterrupt):
        return False
    if hasattr(sys, "print_exception"):
        return abs(id(error) - id(sys.modules)) < _STATE
    from opcode import opmap

    at = error.__traceback__
    while at.tb_next:
        at = at.tb_next
    return at.tb_frame.f_code.co_code[at.tb_lasti] != opmap["RAISE_VARARGS"]


def place(error, path):
    """An exception as "models/soil.py:12: NameError: …"; the line is the last one in that file
    that led to it. "?" is the text of one that raises when it is asked for it.
    """
    try:
        if isinstance(error, ResourceError):
            return "%s: %s" % (path, error)
        return _placed(error, path)
    except BaseException as e:  # the class of the exception is the user's, too
        if from_console(e):
            raise
        return "%s: %s: ?" % (path, type(error).__name__)


def _placed(error, path):
    if hasattr(sys, "print_exception"):  # MicroPython
        from io import StringIO

        out = StringIO()
        sys.print_exception(error, out)
        text = out.getvalue()
    else:
        import traceback

        text = "".join(traceback.format_exception(error))
    line = ""
    file = path.rsplit("/", 1)[-1] + '", line '
    for part in text.split(file)[1:]:
        line = ":"
        for c in part:
            if not c.isdigit():
                break
            line += c
    return "%s%s: %s: %s" % (path, line, type(error).__name__, error)


def as_own(error, path):
    """A ResourceError that says what an exception of the user's code was."""
    if type(error) is ResourceError and type(error.args[0] if error.args else 0) is str:
        return error
    return ResourceError(place(error, path))


def named(x):
    """What an object is, without its repr(), which may be the user's."""
    return "None" if x is None else "of type %s" % type(x).__name__


class GuardedSource(Source):
    """What a collector reads instead of a source of the user's own.

    call(function, *args): calls what is the user's. file: whose model it is. Raises ResourceError
    for a source that is none.
    """

    def __init__(self, call, file, source, method, hung):
        self._call = call
        self._method = method
        self.file = file
        self.waits = bool(source.waits)
        self.at_once = bool(getattr(source, "at_once", False))
        self.min_period_us = getattr(source, "min_period_us", 0)
        if type(self.min_period_us) is not int or self.min_period_us < 0:
            raise ResourceError(
                self._said("min_period_us is %r, and no int" % (self.min_period_us,))
            )
        if source.fields:
            self.fields = self._checked(source.fields)
        self.block = getattr(source, "block", 0)
        if self.block:
            self._blocks(source)
        name = "read_into" if self.fields else "read"
        self._reads = getattr(source, name)
        read = self._waiting if self.waits else self._fill if self.fields else self._read
        if hung and not self.waits:
            read = hung.once(read)
        setattr(self, name, read)

    def _said(self, text):
        return "%s: %s" % (self.file, text)

    def _checked(self, fields):
        checked = []
        for path, code in fields:
            right = isinstance(path, (tuple, list)) and path and code in _CODES
            for key in path if right else ():
                right = right and type(key) is str
            if not right or tuple(path) in [p for p, _ in checked]:
                raise ResourceError(
                    self._said(
                        "%r is no field, or there twice: (names, code), such as "
                        '(("readings", "a"), "f32")' % ((path, code),)
                    )
                )
            checked.append((tuple(path), code))
        return tuple(checked)

    def _blocks(self, source):
        """What a source has that keeps what it sampled, see mpu6050.Reader."""
        for name in ("start_block", "read_block", "stop_block"):
            call = getattr(source, name)
            setattr(self, name, lambda *args, call=call: self._call(call, *args))
        self._source = source

    @property
    def hold_us(self):
        """The source's."""
        return self._source.hold_us

    @property
    def lost(self):
        """The source's."""
        return self._source.lost

    @lost.setter
    def lost(self, n):
        self._source.lost = n

    def _read(self):
        return self._reading(self._call(self._reads))

    def _reading(self, payload):
        if hasattr(payload, "send"):
            payload.close()
            raise ResourceError(self._said(_COROUTINE))
        if self._method == "Readings" and type(payload) is dict and "readings" in payload:
            found = payload["readings"]
            if hasattr(found, "send"):
                found.close()
                raise ResourceError(self._said(_ASYNC))
            if type(found) is not dict:
                text = "the readings must be a dict of names and values, and they are %s"
                if found is None:
                    text += ": is there a return?"
                raise ResourceError(self._said(text % named(found)))
        return payload

    def _fill(self, values):
        found = self._call(self._reads, values)
        if hasattr(found, "send"):
            found.close()
            raise ResourceError(self._said(_COROUTINE))
        self._filled(values)

    def _filled(self, values):
        n = len(self.fields)
        if len(values) != n:
            text = "it made its list of values one of %d for %d fields" % (len(values), n)
            values[:] = [0] * n
            raise ResourceError(self._said(text))

    async def _waiting(self, *values):
        try:
            found = self._reads(*values)
            if not hasattr(found, "send"):
                text = (
                    "its read is no coroutine function, as the third argument of its Source says: "
                )
                raise ResourceError(self._said(text + "what it returns is %s" % named(found)))
            found = await found
        except BaseException as e:
            # Of a task that is cancelled: whose doing it is the collector knows.
            if from_console(e) or type(e).__name__ == "CancelledError":
                raise
            raise as_own(e, self.file)  # noqa: B904 - see above
        if values:
            self._filled(*values)
        else:
            found = self._reading(found)
        return found
