"""A reduced run of the power-cut engine, and proof that it catches logs that are broken on
purpose.

The whole of it: python tests_host/powercut.
"""

import pytest

from cistern.store import sector as sector_module
from cistern.store import writer as writer_module
from cistern.store.log import Log
from cistern.store.sector import Walk
from powercut import engine
from powercut.model import Violation, World


def test_no_promise_is_broken_wherever_power_goes():
    report = engine.linear(7, 60, 6, 1024)
    assert report.violations == [] and report.cuts > 500


def test_no_promise_is_broken_if_power_goes_again_during_recovery():
    report = engine.linear(8, 25, 5, 1024, every=3, deep=6)
    assert report.violations == [] and report.cuts > 500


@pytest.mark.parametrize("seed", range(4))
def test_a_sector_that_fails_costs_no_parcel(seed):
    report = engine.bad_blocks(seed, steps=60)
    assert report.violations == [] and report.cuts > 50


def test_no_promise_is_broken_on_flash_with_encryption():
    report = engine.encrypted(1, steps=45)
    assert report.violations == [] and report.cuts > 200


def caught(seed=1, steps=150, **kwargs):
    """What the engine finds wrong with a log that is broken now."""
    return "\n".join(
        text for _, text in engine.linear(seed, steps, 6, 1024, limit=1, **kwargs).violations
    )


def test_it_catches_a_crc_that_is_not_checked(monkeypatch):
    real = Walk.sum

    def sum_(self, payload=None):
        real(self, payload)
        return True

    monkeypatch.setattr(Walk, "sum", sum_)
    assert caught()


def test_it_catches_a_mark_before_the_acknowledgement():
    class Hasty(World):
        def upload(self, ref, n):
            self.log.mark_sent(ref)
            self.model.cloud.add(n)
            self.model.kept.pop(n, None)

    assert "are gone, 0 are counted" in caught(world=Hasty) or "missing" in caught(world=Hasty)


def test_it_catches_a_header_that_is_written_last(monkeypatch):
    def write(self, kind, head, body):
        block, at, walk = self.block, self.at, self.walk
        walk.block, walk.seed = block, self.seed
        sector_module.seal_record(head, kind, body, self.seed)
        self.at = at + len(head) + len(body)
        self.program(block, body, at + len(head))
        self.program(block, head, at)
        return True

    def end(self, block, at, size):  # and whose boot does not look behind the last header
        return True

    monkeypatch.setattr(Log, "_write", write)
    monkeypatch.setattr(Walk, "blank", end)
    monkeypatch.setattr(writer_module, "_PAGE", 1)
    assert caught()


def test_it_catches_erases_that_are_trusted_without_mark(monkeypatch):
    real = Log.mount

    def mount(device, urandom):
        log = real(device, urandom)
        for b in range(log.count):
            if not log.sequence[b] and log.walk.blank(b, 0, log.sector_size):
                log.sequence[b] = -1
        return log

    monkeypatch.setattr(Log, "mount", staticmethod(mount))
    assert any(caught(seed, 400, kinds=("erase",), recovery=80) for seed in range(1, 20))


def test_it_catches_a_loss_that_is_counted_after_the_sector_is_gone(monkeypatch):
    from cistern.store import full

    def give_up(log, b, code, record):
        victim = log.sequence[b]
        log.done(b)
        log.sequence[b] = victim
        real(log, b, code, record)

    real = full._give_up
    monkeypatch.setattr(full, "_give_up", give_up)
    assert any("are counted" in caught(seed, 300) for seed in range(1, 8))


def test_it_catches_a_refusal_that_is_counted_without_the_parcels_name(monkeypatch):
    def set_aside(self, ref):
        self.append_drop(ref.definition, "refused", ref.readings, 0, 0)
        return self.mark(ref, 0x0F)

    monkeypatch.setattr(Log, "set_aside", set_aside)
    assert any("are set aside" in caught(seed, 300) for seed in range(1, 8))


def test_it_catches_a_late_acknowledgement_that_stays_lost(monkeypatch):
    from cistern.store import full

    monkeypatch.setattr(full, "arrived", lambda log, ref: True)
    assert any("are gone" in caught(seed, 300) for seed in range(1, 8))


def test_it_catches_names_that_are_used_again(monkeypatch):
    real = Log.mount

    def mount(device, urandom):
        log = real(device, urandom)
        log.next = max(max(log.sequence) - 1, 0)
        return log

    monkeypatch.setattr(Log, "mount", staticmethod(mount))
    assert caught(steps=300)


def test_it_catches_a_boot_that_is_not_written_down(monkeypatch):
    real = Log._begin

    def begin(self):
        self.boot -= 1
        done = real(self)
        self.boot += 1
        return done

    monkeypatch.setattr(Log, "_begin", begin)
    assert "boot" in caught()


def test_the_model_itself_has_no_complaint_about_a_log_in_peace():
    report = engine.linear(3, 400, 6, 1024, every=10**9)
    assert report.violations == []


__all__ = ("Violation",)
