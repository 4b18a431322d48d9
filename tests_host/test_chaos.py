"""The loss experiment, short: `make chaos` is the long one. And the experiment's own tests."""

import asyncio
import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest

from chaos import faults, rivals
from chaos.exchange import Exchange, Upload
from chaos.hang import capture_while_waiting
from chaos.rig import Boot
from chaos.run import experiment
from chaos.verify import Evidence, verify
from chaos.weather import Met, Weather
from chaos.wire import Cut
from net_support import missing
from support import micropython_command

LOSING = ("cut before a request", "answer lost after the commit", "cut during the answer")
# Runs of the experiment, all at the same time: most of what they do is wait.
RUNS = {
    "weather": {"seconds": 20, "kills": (8.0, 12.0), "changes": 6.0},
    "full": {
        "seconds": 14,
        "kills": (0, 0),
        "outage": 12,
        "flash_size": "16K",
        "sensors": dict.fromkeys(("first", "second", "third"), 100),
    },
    "ack first": {"seconds": 9, "kills": (0, 0), "kinds": LOSING, "harm": "ack first"},
    "new names": {"seconds": 9, "kills": (0, 0), "kinds": LOSING, "harm": "new names"},
    "forgetful": {"seconds": 9, "kills": (0, 0), "kinds": LOSING, "forgetful": True},
}


SEED = int(os.environ.get("CISTERN_SEED") or random.randrange(1 << 32))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """{name of the run: its Outcome}. A failure prints the seed; CISTERN_SEED takes it again."""
    if micropython_command() is None:
        missing("micropython")
    with ThreadPoolExecutor(len(RUNS)) as pool:
        begun = {
            name: pool.submit(experiment, tmp_path_factory.mktemp("chaos"), SEED, **run)
            for name, run in RUNS.items()
        }
        return {name: one.result() for name, one in begun.items()}


def test_every_reading_arrives_once_in_bad_weather(outcomes):
    outcome = outcomes["weather"]
    print(outcome)
    assert not outcome.wrong, str(outcome)
    assert len(outcome.met) > 30 and outcome.boots > 1, str(outcome)
    assert sum(tally.stored for tally in outcome.tallies.values()) > 500, str(outcome)
    assert outcome.rivals["micro-rdk"].lost > 0, str(outcome)


def test_a_log_that_fills_up_counts_exactly_what_it_drops(outcomes):
    outcome = outcomes["full"]
    assert not outcome.wrong, str(outcome)
    assert outcome.tallies["first"].dropped > 0, str(outcome)


def test_an_acknowledgement_before_the_answer_is_noticed(outcomes):
    """The product broken on purpose: the experiment must see the loss."""
    wrong = "\n".join(outcomes["ack first"].wrong)
    assert "missing readings were never counted" in wrong, str(outcomes["ack first"])


def test_a_retry_under_new_names_is_noticed(outcomes):
    wrong = "\n".join(outcomes["new names"].wrong)
    assert "doubled" in wrong, str(outcomes["new names"])


def test_a_receiver_that_ignores_the_names_of_parcels_is_noticed(outcomes):
    wrong = "\n".join(outcomes["forgetful"].wrong)
    assert "doubled" in wrong, str(outcomes["forgetful"])


def test_capture_never_waits(tmp_path):
    """100 Hz is as punctual while a cloud hangs as without any; at the same time, so that a busy
    machine disturbs all alike, and again when it disturbed one more than the others.
    """
    if micropython_command() is None:
        missing("micropython")
    seen = []
    for i in range(4):
        folder = tmp_path / str(i)
        folder.mkdir()
        found = asyncio.run(capture_while_waiting(folder, 7))
        seen.append(dict(found))
        allowed = 2 * found.pop("no cloud").share + 0.04
        # A sync that blocks on purpose: if it is not noticed, nothing would be.
        noticed = found.pop("blocked").share > allowed
        waits = found.values()
        if noticed and all(waited.hung and waited.share <= allowed for waited in waits):
            return
    raise AssertionError(f"not as punctual as without a cloud, or nothing hung: {seen}")


# The parts of the experiment.


def test_a_seed_gives_the_same_plan_and_every_variant_has_its_turn():
    assert faults.plan(7, 60, 5) == faults.plan(7, 60, 5) != faults.plan(8, 60, 5)
    drawn = [fault for _, fault in faults.plan(7, 900, 8)]
    seen = {(f.kind, f.more.get("status")) for f in drawn}
    for kind in ("gRPC status", "gRPC status, Trailers-Only", "gRPC status after the commit"):
        assert {status for k, status in seen if k == kind} == set(range(17))
    for kind, _, _, _, variants in faults.CATALOGUE:
        assert sum(f.kind == kind for f in drawn) >= len(variants), kind


class Flash(SimpleNamespace):
    """What is on a flash: readings as (state, component, boot, n); losses; parcels."""

    def readings(self):
        for state, component, boot, n in self.kept:
            data = {"readings": {"boot": boot, "n": n}}
            yield {"state": state, "component_name": component, "data": data}


def _evidence(numbers=range(10), durable=10, kept=(), losses=(), **more):
    """One board, one start from second 100 to 200, a reading a second from 110 on."""
    boot = Boot(1, 100, 200, {"s": {"durable": durable, "captured": durable, "dropped": 0}})
    stored = [("s", 1, n, (110 + n) * 10**9, "1.28") for n in numbers]
    losses = [{"stream": "s/Readings", "reason": r, "readings": n} for r, n in losses]
    flash = Flash(kept=list(kept), losses=losses, parcels=[])
    return replace(Evidence([boot], stored, flash, []), **more)


def _upload(told, *names, began=0):
    return Upload(began, began + 0.1, list(names), told, True)


def _parcel(state, name):
    return SimpleNamespace(state=state, name=name)


def test_what_is_as_promised_is_not_complained_about():
    for evidence in (
        _evidence(),
        _evidence(range(12)),  # durable since the last status
        _evidence([0, 1, 2, 5, 6, 7, 8, 9], losses=[("log_full", 2), ("late", 7)]),
        _evidence(range(9), kept=[("set aside", "s", 1, 9)], losses=[("refused", 1)]),
        _evidence(losses=[("late", 3)], told={("s/Readings", "late"): 3}),
        _evidence(range(9), kept=[("unsent", "s", 1, 9)], drained=False),
        _evidence(losses=[("log_full", 10)]),  # let go, although in the cloud: no answer had come
    ):
        assert verify(evidence, {"s": 1})["s"].wrong == []


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (_evidence(range(8)), "2 of 2 missing readings were never counted"),
        (_evidence([0, 1, 4, 5, 6, 7, 8, 9], losses=[("log_full", 1)]), "1 of 2 missing"),
        (_evidence([*range(9), 11]), "never counted: s, start 1 of the board: 9, 10"),
        (
            _evidence(losses=[("ring_full", 1)], sent={"1.28"}),
            "1 counted as lost, only 0 are missing",
        ),
        (_evidence([*range(10), 4, 4]), "2 doubled: 4"),
        (_evidence(kept=[("unsent", "s", 1, 10)]), "1 readings are still on the flash"),
        (_evidence([]), "nothing is in the cloud"),
        (_evidence(range(95)), "times from"),
        (_evidence(range(9), kept=[("set aside", "s", 1, 9)]), "1 of 1 missing"),
        (
            _evidence(losses=[("late", 3)], told={("s/Readings", "late"): 2}),
            "the receiver was told of the losses",
        ),
        (_evidence(conflicts=2), "2 parcels came again with other readings"),
        (
            _evidence(counted={"unsent": 0, "set aside": 1, "lost": 0}),
            "the firmware counts {'unsent': 0, 'set aside': 1, 'lost': 0} on its flash",
        ),
    ],
)
def test_a_broken_promise_is_found(evidence, words):
    assert words in "\n".join(verify(evidence, {"s": 1})["s"].wrong)


def test_a_status_that_does_not_add_up_is_found():
    evidence = _evidence()
    evidence.boots[0].unbalanced = {"s": ["s/Readings: captured is not durable"]}
    assert "captured is not durable" in "\n".join(verify(evidence, {"s": 1})["s"].wrong)


def test_marks_on_the_flash_that_nobody_allowed_are_found():
    evidence = _evidence(uploads=[_upload(3, "2.28", "2.99"), _upload(14, "2.28")])
    evidence.sent = {"1.28", "3.28"}
    evidence.flash.parcels = [_parcel("set aside", "2.28")]
    wrong = "\n".join(verify(evidence, {"s": 1})["s"].wrong)
    assert "1 parcels are marked as sent, but the cloud does not have them: 3.28" in wrong
    assert "set aside that the cloud never refused by themselves: 2.28" in wrong
    evidence.uploads.append(_upload(3, "2.28"))
    assert "set aside" not in "\n".join(verify(evidence, {"s": 1})["s"].wrong)


def test_a_parcel_that_is_sent_again_after_a_refusal_is_found():
    refused = _upload(3, "1.28", began=5)
    for later, found in ((4, False), (6, True)):
        evidence = _evidence(uploads=[refused, _upload(None, "1.28", "1.99", began=later)])
        wrong = "\n".join(verify(evidence, {"s": 1})["s"].wrong)
        assert ("1 parcels were sent again after a refusal: 1.28" in wrong) == found
    # It may not have heard of the refusal.
    evidence.uploads[0].sure = False
    assert "refusal" not in "\n".join(verify(evidence, {"s": 1})["s"].wrong)


def test_what_was_on_the_flash_at_a_power_cut_is_durable():
    evidence = _evidence()
    evidence.boots[0].flash = {"s": 12}
    assert "2 of 2 missing readings" in "\n".join(verify(evidence, {"s": 1})["s"].wrong)


def test_an_end_in_good_order_leaves_nothing_in_ram():
    evidence = _evidence(durable=9)
    evidence.boots[0].orderly = True
    evidence.boots[0].streams["s"]["captured"] = 13
    wrong = "\n".join(verify(evidence, {"s": 1})["s"].wrong)
    assert "it ended by itself, and 3 readings were not durable" in wrong


def test_times_out_of_order_are_found():
    evidence = _evidence()
    evidence.stored[3] = ("s", 1, 3, 109 * 10**9, "1.28")
    assert "not in the order" in "\n".join(verify(evidence, {"s": 1})["s"].wrong)


class Board:
    """A board's side of an exchange, which may hang up in the middle of it."""

    def __init__(self, weather, hangs_up):
        self.wire = SimpleNamespace(open=True, cut=self._cut)
        peer = SimpleNamespace(send_data=self._on)
        self.up = SimpleNamespace(begin=lambda headers: 1, peer=peer)
        self.proxy = SimpleNamespace(weather=weather)
        self._hangs_up = hangs_up
        self.exchange = Exchange(self, 1, [(b":path", b"/a/Method")])
        self.exchange.chunks.put_nowait(b"\0\0\0\0\x20" + bytes(30))

    def _cut(self, how):
        self.wire.open = False

    async def _on(self, stream, data, end=False):
        if self._hangs_up:
            self.exchange.given_up()


@pytest.mark.parametrize("hangs_up", [False, True])
def test_a_fault_counts_when_it_took_effect(hangs_up):
    weather = Weather(1)
    fault = faults.Fault("cut during a request", "call", "cut_request", {"how": "end", "at": 0.5})
    with pytest.raises(Cut):
        asyncio.run(Board(weather, hangs_up).exchange.run(fault))
    assert len(weather.met) == (not hangs_up)


def test_the_rarest_way_of_a_kind_comes_first():
    weather = Weather(1)
    ways = [faults.Fault("k", "call", "status", {"status": n, "at": n / 9}) for n in (5, 5, 6, 7)]
    weather.meet(ways[0])
    for fault in (faults.Fault("other", "call", "x"), *ways):
        weather.arm(fault)
    taken = []
    while len(taken) < 5:
        taken += [fault for fault in [weather.take("call")] if fault]
        weather.meet(taken[-1]) if taken else None
    assert [fault.more.get("status") for fault in taken][:4] == [None, 6, 7, 5]


# The models of the others.


def test_micro_rdk_loses_the_readings_that_it_holds_back():
    """viam.md, 1.6: N - 1 of N readings go out, but for N = 1 and N = 2 modulo the chunk."""
    sent = {}
    for total in (1, 2, 3, 10, 11, 12, 13, 22, 32, 92, 100, 101, 102):
        ring = list(range(total))

        def take(n, ring=ring):
            taken, ring[:n] = ring[:n], []
            return taken

        sent[total] = sum(len(chunk) for chunk, _ in rivals.micro_chunks(total, take))
    whole = [total for total, count in sent.items() if count == total]
    assert whole == [1, 12, 22, 32, 92, 101]
    assert all(count >= total - 1 for total, count in sent.items())


def _work(*met):
    return rivals.Workload({"a": 10.0}, [(0.0, 20.25), (21.0, 60.0)], list(met), 0.5, 100)


def _met(at, committed, told, **more):
    return Met(at, faults.Fault("a test's", "call", "status", more), committed, told)


def test_the_models_account_for_every_reading():
    dice = random.Random(3)
    met = [
        _met(n / 4, dice.random() < 0.3, dice.choice([None, 3, 13, 14]), only=dice.random() < 0.5)
        for n in range(1, 200)
    ]
    for result in (rivals.micro_rdk(_work(*met)), rivals.viam_server(_work(*met))):
        assert result.captured == 592
        assert result.lost + result.left + len(result.stored) == result.captured
        assert result.lost >= 0
        assert result.faults > 20


def test_viam_server_doubles_what_was_stored_without_an_answer_and_loses_nothing():
    result = rivals.viam_server(_work(_met(3, True, None), _met(9, False, 13), _met(12, False, 3)))
    assert (result.lost, result.doubled) == (0, 5)
    # One file was refused for good; one was being written when power went.
    assert result.left == 5 + 3


def test_micro_rdk_loses_the_chunk_that_fails_and_all_of_its_memory_at_a_power_cut():
    calm, failed = rivals.micro_rdk(_work()), rivals.micro_rdk(_work(_met(3, False, 13)))
    assert calm.doubled == failed.doubled == 0
    assert failed.lost > calm.lost > 0
    blind = rivals.micro_rdk(_work(_met(3, False, 13, only=True)))
    assert blind.lost > calm.lost
