"""Models of a user that do every odd thing, every second time; a model file for tests.

The attribute `how` of the model lab:odd:odd says which. Every first time the reading is good:
{"n": 1}, {"n": 3}, ….
"""

import asyncio
import json
import sys

from cistern.resources.own import ResourceError, Sensor, Source, fields, register

HALF = json.loads('"\\ud83c"')
PAIR = HALF + json.loads('"\\udf24"')


class CancelledByItselfError(BaseException):
    pass


class NoTextError(ResourceError):
    def __str__(self):
        return self.missing


class EndsWhenToldError(ResourceError):
    def __str__(self):
        raise SystemExit(3)


class NoTextAtAllError(ValueError):
    def __str__(self):
        return self.missing


async def later():
    return {"readings": {}}


def nested(depth):
    x = 1
    for _ in range(depth):
        x = [x]
    return x


def recurse():
    return recurse() + 1


def throw(what):
    raise what


# What readings() returns, or does.
ODD = {
    "none": lambda: None,
    "number": lambda: 7,
    "list": lambda: [{"n": 1}],
    "text": lambda: "n",
    "coroutine": later,
    "generator": lambda: (i for i in (1, 2)),
    "set": lambda: {"n": {1, 2}},
    "object": lambda: {"n": object()},
    "function": lambda: {"n": len},
    "number-as-a-name": lambda: {1: 2},
    "deep": lambda: {"n": nested(40)},
    "very-deep": lambda: {"n": nested(300)},
    "long": lambda: {"n": "a" * 2000},
    "many": lambda: {str(i): i + 0.1 for i in range(400)},
    "half": lambda: {"sky": HALF},
    "half-in-a-name": lambda: {"n" + HALF: 1},
    "half-in-an-error": lambda: throw(ValueError("bad answer: " + HALF)),
    "huge": lambda: {"n": 10**400},
    "CancelledError": lambda: throw(asyncio.CancelledError()),
    "SystemExit": lambda: throw(SystemExit(3)),
    "exit": lambda: sys.exit(3),
    "KeyboardInterrupt": lambda: throw(KeyboardInterrupt()),
    "GeneratorExit": lambda: throw(GeneratorExit()),
    "StopIteration": lambda: throw(StopIteration(1)),
    "BaseException": lambda: throw(CancelledByItselfError()),
    "MemoryError": lambda: throw(MemoryError()),
    "recursion": recurse,
    "ResourceError": lambda: throw(ResourceError("look at the plug")),
    "error-without-a-text": lambda: throw(NoTextError()),
    "error-that-ends-when-told": lambda: throw(EndsWhenToldError()),
    "other-error-without-a-text": lambda: throw(NoTextAtAllError()),
}
# What read(values) does with a list of one field.
ODD_FIELDS = {
    "append": lambda values: values.append(1),
    "pop": lambda values: values.pop(),
    "clear": lambda values: values.clear(),
    "not-a-number": lambda values: values.__setitem__(0, {1}),
    "coroutine-for-values": lambda values: later(),
    "SystemExit-of-fields": lambda values: throw(SystemExit()),
    "KeyboardInterrupt-of-fields": lambda values: throw(KeyboardInterrupt()),
}


async def forever():
    await asyncio.Event().wait()


async def unstoppable():
    while True:
        try:  # noqa: SIM105 - MicroPython has no contextlib
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            pass


async def cancelled():
    raise asyncio.CancelledError


async def ended():
    raise SystemExit


async def interrupted():
    raise KeyboardInterrupt


async def closed():
    raise GeneratorExit


async def without_a_text():
    raise NoTextError


async def no_dict():
    return None


# What a read that is to be a coroutine function gives.
ODD_WAITING = {
    "plain": lambda: {"readings": {"n": 2}},
    "plain-None": lambda: None,
    "forever": forever,
    "unstoppable": unstoppable,
    "cancelled": cancelled,
    "ended": ended,
    "interrupted": interrupted,
    "closed": closed,
    "None-later": no_dict,
    "error-without-a-text-later": without_a_text,
}


# What the fields of a source are.
ODD_NAMES = {
    "fields-of-one-name": fields("int", "readings.n", "readings.n"),
    "fields-of-another-code": [(("readings", "n"), "float")],
    "fields-that-are-none": 5,
    "half-in-a-field": [(("readings", "n" + HALF), "int")],
    "deep-field": [(tuple(str(i) for i in range(40)), "int")],
}


class Odd(Sensor):
    def __init__(self, component, port, others):
        self.how = component.attributes["how"]
        self.n = 0
        others.clear()  # a factory has no business there
        if self.how == "no-text-when-made":
            raise NoTextError
        if self.how == "exit-when-made":
            sys.exit(1)
        if self.how == "interrupt-when-made":
            raise KeyboardInterrupt

    def __bool__(self):
        raise ValueError("nobody asks that")

    def odd(self):
        self.n += 1
        return self.n % 2 == 0

    def readings(self):
        return ODD[self.how]() if self.odd() else {"n": self.n}

    def fill(self, values):
        if self.odd():
            return ODD_FIELDS[self.how](values)
        values[0] = self.n
        return None

    def wait(self):
        return ODD_WAITING[self.how]() if self.odd() else self.good()

    async def good(self):
        return {"readings": {"n": self.n}}

    def source(self, method, params):
        if self.how in ODD:
            return Sensor.source(self, method, params)
        if self.how in ODD_FIELDS:
            return Source(self.fill, fields("int", "readings.n"))
        if self.how in ODD_WAITING:
            return Source(self.wait, None, True)
        source = Source(self.fill, fields("int", "readings.n"))
        if self.how == "min_period_us":
            source.min_period_us = "1 s"
        elif self.how in ODD_NAMES:
            source.fields = ODD_NAMES[self.how]
        elif self.how == "no-text-of-its-source":
            raise NoTextError
        elif self.how == "no-source":
            source = None
        elif self.how == "exit":
            sys.exit(1)
        return source


BAD_SOURCES = (
    "min_period_us",
    "fields-of-one-name",
    "fields-of-another-code",
    "fields-that-are-none",
    "no-source",
    "half-in-a-field",
    "deep-field",
    "no-text-when-made",
    "no-text-of-its-source",
    "exit-when-made",
    "interrupt-when-made",
)

register("sensor", "lab:odd:odd", Odd)
