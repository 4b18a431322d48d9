"""Deadlines: the n-th is start + n/f, whatever the rate, for ever."""

from cistern.capture.deadline import Deadline
from cistern.config.planner import period

TICKS = 1 << 30


def _deadline_after(frequency_hz, n, start=12345):
    """Microseconds from start to the n-th deadline, summed over parts and wraps."""
    deadline = Deadline(*period(frequency_hz), start)
    total = 0
    last = start
    count = 0
    while True:
        tick = deadline.tick
        total += (tick - last) % TICKS
        last = tick
        if deadline.passed():
            count += 1
            if count == n:
                return total


def test_the_first_deadline_comes_one_period_after_the_start():
    assert _deadline_after(100, 1) == 10000
    assert _deadline_after(0.2, 1) == 5000000


def test_an_hour_of_an_odd_rate_ends_within_a_microsecond():
    for hz, n in ((3, 10800), (7.7, 27720), (0.333, 1199), (60, 60000)):
        exact = n * 1000000 / hz
        assert abs(_deadline_after(hz, n) - exact) <= 1, hz


def test_a_fast_rate_does_not_drift():
    assert _deadline_after(300, 30000) == 100000000
    assert _deadline_after(2000, 20000) == 10000000


def test_a_period_longer_than_ticks_can_tell_is_waited_for_in_parts():
    hour = 1 / 3600
    deadline = Deadline(*period(hour), 0)
    parts = 1
    while not deadline.passed():
        parts += 1
    assert parts > 1
    assert abs(_deadline_after(hour, 3) - 3 * 3600 * 1000000) < 3 * 3600 * 1000000 * 1e-3


def test_ticks_stay_small_ints():
    deadline = Deadline(*period(1000), TICKS - 500)
    assert 0 <= deadline.tick < TICKS
