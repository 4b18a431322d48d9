"""One run of a workload: the firmware's App over a virtual board, watched."""

import asyncio

from timing.clock import Clock, Loop
from timing.instrument import Hook
from timing.native import Native

# The last deadline of a run may be under way when it ends.
EDGE = 1
URL = "https://cloud.example:443"
TYPICAL_ERASE_NS = 45000000


class Bench:
    """Where runs happen; the firmware is imported once, so one clock serves one run at a time."""

    def __init__(self, profile=None):
        self.clock = Clock(profile=profile)
        Hook(self.clock, Native(self.clock).twins, ("timing.naive",), profile).install()

    def restart(self, tick_us):
        """A board that was just switched on."""
        t = self.clock.t
        if t[3] is not None:
            t[3].clear()
        self.clock.__init__(tick_us, t[3])
        # Modules hold the list itself.
        t[:] = self.clock.t
        self.clock.t = t

    def port(self, seed, tick_us=1000, erase_scale=1.0, handshake_ms=0):
        """A fresh board and its cloud."""
        from timing.hardware import Flash, Port
        from timing.server import Cloud

        cloud = Cloud()
        flash = Flash(self.clock, seed, erase_scale=erase_scale)
        _use(flash)
        self.restart(tick_us)
        port = Port(self.clock, flash, seed, cloud.connection, handshake_ms)
        return port, cloud


def _use(flash):
    """Let the chip have been in use: every sector was written, and what was in it was sent."""
    from cistern.store import Log

    log = Log.mount(flash, flash.rng.randbytes)
    buf = bytes(1900)
    while log.next <= flash.blocks:
        log.append(b"before", buf, 1)
        log.mark_sent(log.unsent().next())


def firmware(bench, text, rates, seconds, seed, sync=True, tick_us=1000, **board):
    """Run the App for so long; the report, a dict."""
    from cistern.app import App
    from cistern.capture.collector import REASONS
    from timing.observe import Row

    port, cloud = bench.port(seed, tick_us, **board)
    clock = bench.clock
    rows = {name: Row(name, hz) for name, hz in rates.items()}
    watched = Watched(rows, clock, port)
    watched.install()
    try:
        app = App(port)
        if not app.load("machine.json", text):
            raise RuntimeError(port.lines)
        watched.attach(app.engine)
        if sync:
            app.connect_to(URL, None, None, "part", "secret")
        begin = clock.t[0]
        clock.forget()
        end = _until_stop(clock, app, seconds)
    finally:
        watched.remove()
    report = report_of(clock, rows, begin, end, clock.spent["idle"])
    counted = {c.name: c for c in app.engine.collectors}
    lost = app.log.stats().lost
    for row in report["streams"]:
        c = counted.get(row["name"])
        if c is None:
            raise RuntimeError(f"{row['name']} is not captured: {port.lines[:5]}")
        row.update(
            counted=c.missed,
            late=c.late,
            dropped=c.dropped,
            ring=c.ring.size,
            uncounted=_uncounted(row["missed"] - c.missed, c),
            cpu=rows[row["name"]].ns / (end - begin),
        )
    stats = app.log.stats()
    report.update(
        in_drop_records=sum(n for (_, reason), n in lost.items() if reason in REASONS),
        forced=stats.forced_erases,
        programmed=stats.programmed,
        calls=cloud.calls,
        sent=port.sent,
        pending=sum(stats.unsent_readings.values()),
        errors=[line for line in port.lines if line[1] == "error"][:5],
    )
    return report


def _until_stop(clock, app, seconds):
    """Run the App until it stops capture, and make durable what was captured; when that was."""
    loop = Loop(clock)
    stop = app.engine.stop

    async def run():
        ended = loop.create_future()

        def stopped():
            stop()
            if not ended.done():
                ended.set_result(clock.t[0])

        app.engine.stop = stopped
        tasks = [loop.create_task(app.run(seconds, None)), ended]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            tasks[0].result()
        # What is cancelled may begin something on its way out.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        app.engine.flush()
        return ended.result()

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def _uncounted(missing, c):
    """Readings that are nowhere: neither read nor counted missed, or read and not stored."""
    return max(missing - EDGE, 0) + max(c.captured - c.dropped - c.durable, 0)


def report_of(clock, rows, begin, end, idle):
    """What was seen between two times in ns; idle: ns of it."""
    from timing.observe import pooled, summary, windows

    whole = end - begin
    erases = [(a, b) for what, a, b in clock.stalls if what == "erase" and a < end]
    spent = clock.spent
    flash = spent["erase"] + spent["program"] + spent["read"]
    busy = whole - min(idle, whole)
    seen = [r for r in rows.values() if r.first is not None]
    return {
        "seconds": whole / 1e9,
        "streams": [summary(r, end, erases) for r in seen],
        "p99_us": pooled(seen, end, 0.99, erases),
        "cpu": (busy - flash) / whole,
        "flash": flash / whole,
        "busy": busy / whole,
        "spent": {k: v / whole for k, v in sorted(spent.items())},
        "erases": len(erases),
        "in_windows": windows(seen, erases, TYPICAL_ERASE_NS),
        "handshakes": sum(what == "handshake" for what, _, _ in clock.stalls),
    }


class Watched:
    """Puts the observers in: at sources, at what serves them, and at the timers."""

    def __init__(self, rows, clock, port):
        self.rows = rows
        self._clock = clock
        self._port = port
        self._make_timer = port.timer
        self._by_collector = {}

    def install(self):
        """Before the App is made."""
        from cistern import borrow

        self._borrow = borrow.borrow
        borrow.borrow = self._borrowed
        self._port.timer = self._timer

    def remove(self):
        """Leave the firmware as it was."""
        from cistern import borrow

        borrow.borrow = self._borrow

    def _borrowed(self, name):
        module = self._borrow(name)
        if name == "cistern.resources.catalog":
            self._build = module.build
            module.build = self._built
        return module

    def _built(self, component, port, others):
        from cistern.capture.collector import stream_name
        from cistern.record import Stream
        from timing.observe import watch

        made = self._build(component, port, others)
        make_source = made.source

        def source(method, params):
            found = make_source(method, params)
            name = stream_name(Stream(component.type, component.name, method, params))
            watch(found, self.rows[name], self._clock)
            return found

        made.source = source
        return made

    def _timer(self, period_us, callback):
        def timed(timer):
            clock, c = self._clock, callback.__self__
            begin = clock.t[0]
            row = self.rows[c.name]
            row.served = begin
            callback(timer)
            row.ns += clock.t[0] - begin

        return self._make_timer(period_us, timed)

    def attach(self, engine):
        """When the collectors are there."""
        for c in engine.collectors:
            self._watch_start(c)
            self._watch_serve(c)

    def _watch_start(self, c):
        row, tick_of = self.rows[c.name], self._clock.t
        start = c.start

        def first():
            # A tick is µs; the grid begins at the deadline that the collector has now. A Sampler
            # keeps its own.
            tick = getattr(c, "_due", c.tick)
            ahead = self._port.ticks_diff(tick, self._port.ticks_us())
            row.first = (tick_of[0] // 1000 + ahead) * 1000

        def started(tick):
            start(tick)
            first()

        c.start = started
        first()

    def _watch_serve(self, c):
        clock, row, serve = self._clock, self.rows[c.name], c.serve

        def served():
            row.served = begin = clock.t[0]
            inside = clock.callback_ns
            serve()
            row.ns += clock.t[0] - begin - (clock.callback_ns - inside)

        c.serve = served
