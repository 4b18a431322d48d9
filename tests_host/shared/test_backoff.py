"""Backoff: how long a failing upload waits."""

from cistern.errors import GrpcError, LinkError
from cistern.sync.backoff import MAX_PARCELS, Backoff
from cistern.sync.failed import pause_ms


def test_waits_double_from_200_ms_to_an_hour():
    backoff = Backoff(lambda: 0)
    waits = [pause_ms(backoff, GrpcError(13, "x")) for _ in range(20)]
    assert waits[:4] == [200, 400, 800, 1600]
    assert waits[-1] == 3600000
    assert waits == sorted(waits)


def test_unavailable_is_asked_once_a_minute_from_the_second_time_on():
    backoff = Backoff(lambda: 0)
    waits = [pause_ms(backoff, GrpcError(14, "x")) for _ in range(4)]
    assert waits == [200, 60000, 60000, 60000]


def test_a_link_that_is_down_is_tried_at_least_once_a_minute():
    backoff = Backoff(lambda: 0)
    waits = [pause_ms(backoff, LinkError("connect", "x")) for _ in range(15)]
    assert waits[0] == 200 and max(waits) == 60000


def test_one_error_after_a_long_outage_does_not_cost_an_hour():
    backoff = Backoff(lambda: 0)
    for _ in range(100):
        pause_ms(backoff, LinkError("connect", "x"))
    assert pause_ms(backoff, GrpcError(13, "x")) == 120000


def test_success_starts_over():
    backoff = Backoff(lambda: 0)
    pause_ms(backoff, LinkError("tls", "x"))
    pause_ms(backoff, LinkError("tls", "x"))
    backoff.success()
    assert pause_ms(backoff, LinkError("tls", "x")) == 200


def test_jitter_takes_at_most_a_quarter():
    for r in (0, 100, 255):
        wait = pause_ms(Backoff(lambda r=r: r), GrpcError(13, "x"))
        assert 150 <= wait <= 200


def test_only_what_passes_its_deadline_makes_uploads_smaller():
    backoff = Backoff(lambda: 0)
    for error in (LinkError("connect", "x"), LinkError("call", "x"), GrpcError(4, "x")):
        pause_ms(backoff, error)
    assert backoff.most == MAX_PARCELS
    most = []
    for _ in range(7):
        pause_ms(backoff, LinkError("deadline", "x"))
        most.append(backoff.most)
    assert most == [16, 8, 4, 2, 1, 1, 1]
    backoff.success()
    assert backoff.most == 2
    for _ in range(50):
        backoff.success()
    assert backoff.most == MAX_PARCELS
