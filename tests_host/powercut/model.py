"""A log under a seeded workload, and a model of what it must hold."""

import struct
from binascii import crc32
from functools import cache
from random import Random

from cistern.store import Log
from powercut.nor import EncryptedNor

DEFINITIONS = (b"stream one, a short definition", b"stream two" * 7, b"three")


@cache
def payload_of(number):
    """What parcel `number` carries: its number, and bytes that follow from it."""
    rng = Random(number)
    size = rng.choice((6, 20, 20, 60, rng.randrange(4, 200)))
    return struct.pack("<I", number) + rng.randbytes(size)


def definition_of(number):
    """The stream of parcel `number`."""
    return DEFINITIONS[number * 7 // 3 % len(DEFINITIONS)]


def readings_of(number):
    """How many readings parcel `number` says that it has."""
    return 1 + number % 300


class Violation(AssertionError):  # noqa: N818  not an error of the engine
    """The log broke a promise."""


class Model:
    """What must be so.

    kept: numbers of parcels that are durable and neither in the cloud nor set aside; cloud: those
    that the cloud acknowledged; aside; names: {(sector, index): number}; told: losses reported to
    the log; gone: readings that the log gave up, by definition. writing, marking, setting,
    telling: what an operation that has not returned is about. Power cuts turn them into maybe:
    parcels that may be there or not, and again: parcels in the cloud or set aside that may be
    offered again; told_most, aside_most: losses that may have been counted; unsure: readings whose
    mark a power cut left weak, so that they may have read as sent when their sector was given up,
    and were taken off the losses when they arrived once more.
    """

    def __init__(self):
        self.number = 0
        self.online = True
        self.kept = {}
        self.cloud = set()
        self.aside = set()
        self.names = {}
        self.told = {}
        self.gone = {}
        self.log_id = None
        self.boot = 0
        self.anchors = {}
        self.told_most = {}
        self.aside_most = {}
        self.unsure = {}
        self.maybe = set()
        self.again = set()
        self.writing = self.marking = self.setting = self.telling = None

    def copy(self):
        """The same knowledge, to go on with another fate of the flash."""
        other = Model.__new__(Model)
        other.__dict__.update(self.__dict__)
        for key in (
            "kept",
            "cloud",
            "aside",
            "names",
            "told",
            "told_most",
            "aside_most",
            "unsure",
            "gone",
            "anchors",
            "maybe",
            "again",
        ):
            setattr(other, key, getattr(self, key).copy())
        return other

    def cut(self):
        """Power went: what was under way may have happened or not."""
        if self.writing is not None:
            self.maybe.add(self.writing)
        if self.marking is not None:
            self.again.add(self.marking)
        if self.setting is not None:
            self.kept.pop(self.setting, None)
            self.maybe.add(self.setting)
            d = definition_of(self.setting)
            self.aside_most[d] = self.aside_most.get(d, 0) + readings_of(self.setting)
        if self.telling:
            self.told_most[self.telling] = self.told_most.get(self.telling, 0) + 3
        self.writing = self.marking = self.setting = self.telling = None


class World:
    """A log on a flash, used as capture and sync use it."""

    def __init__(self, nor, model, rng, strict=True):
        self.nor = nor
        self.model = model
        self.rng = rng
        self.strict = (
            strict  # losses must be counted exactly; bad blocks may bring back what was given up
        )
        self.buf = bytearray(nor.size)
        self.log = None
        # With encryption, not every mark of a sector with many small parcels survives a restart.
        self.forgetful = isinstance(nor, EncryptedNor)

    def mount(self):
        """Power comes back."""
        model = self.model
        self.log = log = Log.mount(self.nor, self.rng.randbytes)
        if log.boot <= model.boot:
            raise Violation(f"boot {log.boot} after {model.boot}")
        if model.log_id not in (None, log.log_id) and model.kept:
            raise Violation("the log has another id and had parcels")
        model.log_id = log.log_id

    def append(self):
        """Capture makes a parcel durable."""
        model = self.model
        n = model.number
        model.number += 1
        model.writing = n
        self.log.append(definition_of(n), payload_of(n), readings_of(n))
        model.kept[n] = self.log.boot
        model.boot = self.log.boot
        model.writing = None

    def sync(self, count, meanwhile=0):
        """Sync uploads the oldest parcel and more of its stream, then marks them. meanwhile:
        parcels that capture appends before the answer comes.
        """
        cursor = self.log.unsent()
        ref = cursor.next()
        refs = []
        while ref and len(refs) < count:
            n = self.seen(ref)
            if n is not None:
                refs.append((ref, n))
            ref = cursor.next(ref.definition)
        for _ in range(meanwhile):
            self.append()
        for ref, n in refs:
            self.upload(ref, n)

    def upload(self, ref, n):
        """The cloud acknowledges, then the parcel is marked."""
        model = self.model
        model.cloud.add(n)
        model.kept.pop(n, None)
        model.maybe.discard(n)
        model.marking = n
        if n in model.again and self.log.sequence[ref.block] != ref.sector:
            d = definition_of(n)
            model.unsure[d] = model.unsure.get(d, 0) + readings_of(n)
        self.log.mark_sent(ref)
        model.marking = None
        model.again.discard(n)

    def set_aside(self):
        """The cloud refuses a parcel for good."""
        ref = self.log.unsent().next()
        n = self.seen(ref) if ref else None
        if n is not None:
            self.model.setting = n
            if self.log.set_aside(ref):
                self.model.aside.add(n)
                self.model.kept.pop(n, None)
                self.model.maybe.discard(n)
                self.model.again.discard(n)
            self.model.setting = None

    def drop(self):
        """Capture reports a loss."""
        model = self.model
        d = self.rng.choice(DEFINITIONS)
        model.telling = d
        self.log.append_drop(d, "ring_full", 3, 1, 2)
        model.telling = None
        model.told[d] = model.told.get(d, 0) + 3
        model.boot = self.log.boot

    def anchor(self):
        """The clock is set."""
        model = self.model
        self.log.append_anchor(1000, 2000 + self.log.boot, 5)
        model.anchors[self.log.boot] = (1000, 2000 + self.log.boot, 5)
        model.boot = self.log.boot

    def step(self):
        """One thing that capture or sync or maintenance does."""
        x = self.rng.random()
        if self.rng.random() < 0.03:
            self.model.online = not self.model.online
        if x < 0.60 or (x < 0.76 and not self.model.online):
            self.append()
        elif x < 0.76:
            self.sync(self.rng.choice((1, 1, 3, 8)), self.rng.choice((0, 0, 0, 20)))
        elif x < 0.78:
            self.set_aside()
        elif x < 0.80:
            self.drop()
        elif x < 0.815:
            self.anchor()
        elif x < 0.985:
            self.maintain()
        else:
            self.mount()

    def maintain(self):
        """Erase ahead."""
        self.log.maintain(100000, lambda: 0)

    def seen(self, ref):
        """The number of a parcel that the log offers, after checking all that it says of it."""
        model = self.model
        data = self.log.read(ref, self.buf)
        if data is None:
            # It was whole when the cursor looked: only one that power was cut in may change its
            # mind.
            if not model.maybe:
                raise Violation(f"{ref.sector}.{ref.index} was offered, but cannot be read")
            return None
        number = struct.unpack_from("<I", data)[0]
        expected = number in model.kept or number in model.maybe or number in model.again
        if self.forgetful and (number in model.cloud or number in model.aside):
            expected = True
        if not expected and (number in model.aside or number in model.cloud):
            raise Violation(f"parcel {number} is offered again")
        if not expected or bytes(data) != payload_of(number):
            raise Violation(f"{ref.sector}.{ref.index} is not what was written")
        if ref.definition != definition_of(number) or ref.readings != readings_of(number):
            raise Violation(f"parcel {number} has another stream or count")
        if model.kept.get(number, ref.boot) != ref.boot:
            raise Violation(f"parcel {number} is of another boot")
        name = (ref.sector, ref.index)
        if model.names.setdefault(name, number) != number:
            raise Violation(f"the name {name} was parcel {model.names[name]} and is {number}")
        return number

    def check(self):
        """Everything that must be there is there, once, in order; what is not is counted."""
        model = self.model
        found = []
        cursor = self.log.unsent()
        while True:
            ref = cursor.next()
            if ref is None:
                break
            n = self.seen(ref)
            if n is not None:
                found.append(n)
        if found != sorted(set(found)):
            raise Violation(f"not once and oldest first: {found}")
        missing = [n for n in model.kept if n not in set(found)]
        if missing and found and self.strict and max(missing) > min(found):
            raise Violation(f"parcels {[m for m in missing if m > min(found)]} are missing")
        if self.strict:
            self._check_losses(missing)
        for boot, anchor in model.anchors.items():
            if boot in {model.kept[n] for n in found if n in model.kept} and (
                self.log.anchors().get(boot) != anchor
            ):
                raise Violation(f"the anchor of boot {boot} is lost")
        return found, missing

    def _check_losses(self, missing):
        model = self.model
        lost = self.log.stats().lost
        for d in DEFINITIONS:
            key = crc32(d)
            readings = model.gone.get(d, 0) + self._readings(missing, d)
            counted = lost.get((key, "log_full"), 0)
            # Parcels that may be there may be counted when their sector is given up.
            more = self._readings(model.maybe, d) + self._readings(model.again, d)
            if not readings - model.unsure.get(d, 0) <= counted <= readings + more:
                raise Violation(f"{readings} readings of {d} are gone, {counted} are counted")
            aside = self._readings(model.aside, d)
            most = aside + model.aside_most.get(d, 0)
            refused = lost.get((key, "refused"), 0)
            if not aside <= refused <= most and not (self.forgetful and aside <= refused):
                raise Violation(f"{aside} readings of {d} are set aside, {refused} are counted")
            told, most = model.told.get(d, 0), model.told_most.get(d, 0)
            if not told <= lost.get((key, "ring_full"), 0) <= told + most:
                raise Violation(
                    f"of {told} losses reported, {lost.get((key, 'ring_full'), 0)} are counted"
                )

    def _readings(self, numbers, d):
        return sum(readings_of(n) for n in numbers if definition_of(n) == d)

    def settle(self):
        """Forget what the log has given up by now."""
        _, missing = self.check()
        for n in missing:
            d = definition_of(n)
            self.model.gone[d] = self.model.gone.get(d, 0) + readings_of(n)
            del self.model.kept[n]
