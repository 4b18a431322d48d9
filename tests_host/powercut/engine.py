"""Cutting power at every operation of a run, and again while the log recovers from it."""

from random import Random

from cistern.store.erase import erase
from powercut.model import Model, Violation, World
from powercut.nor import (
    ERASE_ERROR,
    ERASE_NOOP,
    PROGRAM_ERROR,
    PROGRAM_NOOP,
    EncryptedNor,
    Nor,
    ways,
)


class Report:
    """cuts: how many; violations: [(where, text)]."""

    def __init__(self, limit=10):
        self.cuts = 0
        self.violations = []
        self.limit = limit

    def add(self, where, error):
        """A promise was broken."""
        self.violations.append((where, f"{type(error).__name__}: {error}"))
        return len(self.violations) >= self.limit


class Stop(Exception):  # noqa: N818  not an error: enough violations are known
    """No more cuts."""


class Explorer:
    """Runs a world, and at each operation of its flash the worlds that a power cut there makes.

    every: cut at one in so many operations, at random; deep: the same inside the recovery, where 0
    means never; kinds: of operations to cut; recovery: steps after power is back.
    """

    def __init__(self, report, rng, world, every, deep, kinds, recovery):
        self.report = report
        self.rng = rng
        self.world = world
        self.every = every
        self.deep = deep
        self.kinds = kinds
        self.recovery = recovery

    def watch(self, world, where, every, deep):
        """Cut whenever the world's flash is about to do something."""

        def before(op):
            if op[0] not in self.kinds or (every > 1 and self.rng.randrange(every)):
                return
            for how in ways(op):
                self.cut(world, op, how, [*where, (world.nor.operations, op[0], how)], deep)

        world.nor.before = before

    def cut(self, world, op, how, where, deep):
        """One fate: power goes, comes back, and the log goes on."""
        rng = Random(self.rng.getrandbits(64))
        nor = world.nor.copy(rng)
        nor.cut(op, how, rng)
        self.report.cuts += 1
        model = world.model.copy()
        model.cut()
        other = self.world(nor, model, rng, world.strict)
        try:
            if deep:
                self.watch(other, where, deep, 0)
            self.recover(other)
        except Stop:
            raise
        except Exception as e:
            if self.report.add(where, e):
                raise Stop from None

    def recover(self, world):
        """Mount, check, work, mount, check."""
        world.mount()
        world.check()
        for _ in range(self.recovery):
            world.step()
        world.mount()
        world.check()


def linear(
    seed,
    steps,
    blocks,
    size,
    world=World,
    every=1,
    deep=0,
    bad=None,
    kinds=("program", "erase"),
    recovery=8,
    flash=Nor,
    limit=10,
):
    """A run of `steps` with cuts at its operations, up to `limit` violations; the Report."""
    report = Report(limit)
    rng = Random(seed)
    nor = flash(blocks, size, Random(seed + 1))
    nor.bad = dict(bad or {})
    explorer = Explorer(report, Random(seed + 2), world, every, deep, kinds, recovery)
    run = world(nor, Model(), rng, not bad)
    try:
        if flash is EncryptedNor:
            erase(nor, rng.randbytes)
        explorer.watch(run, [seed], every, deep)
        run.mount()
        for i in range(steps):
            run.step()
            if i % 40 == 39:
                run.settle()
    except Stop:
        pass
    except Violation as e:
        report.add([seed, "no cut"], e)
    return report


def every_operation(seed):
    """Each operation of a run that goes round the log several times."""
    return linear(seed, 250, 6, 1024)


def erases(seed):
    """Each erase of a longer run, and a recovery that comes back to the sector."""
    return linear(seed, 800, 6, 1024, kinds=("erase",), recovery=80)


def pairs(seed):
    """Every operation of a short run, and for each way of cutting there every operation of the
    recovery.
    """
    return linear(seed, 12, 5, 1024, deep=1)


def sparse(seed):
    """A long run on sectors of real size, cut at random operations, the recovery cut at random
    again.
    """
    return linear(seed, 400, 8, 4096, every=6, deep=12)


def bad_blocks(seed, steps=150):
    """A run on flash of which one sector fails in one way, cut at random."""
    how = (PROGRAM_ERROR, ERASE_ERROR, PROGRAM_NOOP, ERASE_NOOP)[seed % 4]
    return linear(seed, steps, 8, 1024, every=3, bad={Random(seed).randrange(8): how})


def encrypted(seed, steps=150):
    """Each operation of a run on flash with encryption."""
    return linear(seed, steps, 6, 1536, flash=EncryptedNor)


PLANS = ("every_operation", "erases", "pairs", "sparse", "bad_blocks", "encrypted")


def run_plan(job):
    """(plan, seed, cuts, violations) of one job (plan, seed)."""
    plan, seed = job
    report = globals()[plan](seed)
    return plan, seed, report.cuts, report.violations
