"""Firmware that is wrong on purpose: the bars must see it."""


def uncounted(engine, collector):
    """Collectors that do not count what they miss because it was late."""
    collector.Collector.lose = _unless(collector.Collector.lose, 0)


def _unless(lose, ignored):
    def changed(self, reason, tick, count=1):
        if reason != ignored:
            lose(self, reason, tick, count)

    return changed


def unrecorded(engine, collector):
    """An engine whose losses do not reach the log."""
    seal = engine.Engine.seal

    def changed(self, c, *args):
        c.lost[0] = 0
        return seal(self, c, *args)

    engine.Engine.seal = changed


def careless(engine, collector):
    """Erases as soon as there is something to erase, whatever is due."""
    due = engine.Engine._erase_due

    def changed(self, room):
        return due(self, 1 << 29)

    engine.Engine._erase_due = changed


def drifting(engine, collector):
    """A collector whose deadlines begin anew at each reading."""
    serve = collector.Collector.serve

    def changed(self):
        serve(self)
        self._deadline.tick = self._ticks_us() + self._period[0] & 0x3FFFFFFF

    collector.Collector.serve = changed


ALL = {f.__name__: f for f in (uncounted, unrecorded, careless, drifting)}


def apply(name):
    """Break the firmware, once it can be imported."""
    from cistern.capture import collector, engine

    ALL[name](engine, collector)
