"""Collectors that a configuration has no longer: the engine is done with them when what they hold
is durable. Borrowed.
"""

# Streams that left whose counts are kept: configurations may come for ever.
_MOST_PAST = 32


def remove(engine, collector):
    """As Engine.remove()."""
    collector.stop()
    collector.entry = None
    if collector in engine.polled:
        engine.polled.remove(collector)
    engine.leaving.append(collector)
    if engine.seal(collector):
        left(engine, collector)


def left(engine, collector):
    """Forget one that is leaving, unless its ring still has readings."""
    if collector.ring.readings:
        return
    engine.leaving.remove(collector)
    engine.collectors.remove(collector)
    past = engine.past.get(collector.name)
    if past or len(engine.past) < _MOST_PAST:
        past = past or [0] * 11
        counts = collector.counts()
        engine.past[collector.name] = [n + past[i] for i, n in enumerate(counts)]
    spare = getattr(engine.port, "spare", None)
    if spare:
        spare.give(collector.ring.buffer)
