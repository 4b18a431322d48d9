"""Which time a boot has: its own clock's, the cloud's, and never two."""

from cistern.store import Log
from cistern.store.ram import RamDevice
from cistern.sync.clock import Clock
from cistern.sync.settle import DISAGREEMENT_US

NOW = 1795365111000000
DATE = "Sun, 22 Nov 2026 16:31:51 GMT"  # NOW


class Port:
    """A board with uptime and, perhaps, a clock of its own that is `off` by so much."""

    def __init__(self, off=None):
        self.up = 5000000
        self.off = off
        self.set_to = None
        self.kept = []
        self.lines = []

    def uptime_us(self):
        return self.up

    def utc_us(self):
        return None if self.off is None else NOW + self.up - 5000000 + self.off

    def set_clock(self, utc_us):
        self.set_to = utc_us
        self.off = utc_us - NOW - self.up + 5000000

    def keep_clock(self, utc_us):
        self.kept.append(utc_us)

    def log(self, level, text):
        self.lines.append(text)


def _mounted(device=None):
    return Log.mount(device or RamDevice(8), lambda n: bytes(range(n)))


def _start(log):
    """UTC at which the boot began, by the log."""
    anchor = log.anchors().get(log.boot)
    return anchor and anchor[1] - anchor[0]


def test_a_board_without_a_clock_takes_the_clouds_and_sets_its_own():
    port, log = Port(), _mounted()
    clock = Clock(port, log)
    assert _start(log) is None
    for no_date in (None, "", "Thu, 01 Jan 1970 00:00:00 GMT"):
        clock.on_date(no_date)
    assert _start(log) is None
    clock.on_date(DATE)
    assert _start(log) == NOW - 5000000 and port.set_to == NOW and port.kept == [NOW]
    clock.on_date(DATE)
    port.up += 3600000000
    clock.on_date(_date(NOW + 3600000000))
    assert port.kept == [NOW, NOW + 3600000000], "once an hour"


def test_a_clock_that_is_right_is_finer_than_the_clouds_seconds():
    for off in (-DISAGREEMENT_US, 0, 700001, DISAGREEMENT_US):
        port, log = Port(off), _mounted()
        clock = Clock(port, log)
        clock.on_date(DATE)
        assert _start(log) == NOW + off - 5000000 and port.set_to is None and not port.lines


def test_a_clock_that_is_wrong_is_set_right_and_that_is_said():
    device = RamDevice(8)
    for off in (-(10**14), 10**14, DISAGREEMENT_US + 1):
        port, log = Port(off), _mounted(device)
        clock = Clock(port, log)
        assert _start(log) == NOW + off - 5000000
        clock.on_date(DATE)
        assert _start(log) == NOW - 5000000 and port.set_to == NOW
        assert "off by %d s" % (off // 1000000) in port.lines[0]
        boot = log.boot
        anchor = _mounted(device).anchors()[boot]
        assert anchor[1] - anchor[0] == NOW - 5000000, "also after a restart"


def test_a_clock_that_is_set_between_start_and_the_clouds_answer_counts():
    """By NTP, on a chip whose network came up meanwhile."""
    port, log = Port(), _mounted()
    clock = Clock(port, log)
    port.off = 123456
    clock.on_date(DATE)
    assert _start(log) == NOW + 123456 - 5000000


def _uncertain(log):
    """{boot: uncertainty in s}."""
    return {boot: anchor[2] // 1000000 for boot, anchor in log.anchors().items()}


def test_an_anchor_tells_where_it_is_from():
    port, log = Port(300000), _mounted()
    clock = Clock(port, log)
    assert _uncertain(log) == {log.boot: 3}, "the board's own clock"
    clock.on_date(DATE)
    assert _uncertain(log) == {log.boot: 1}, "the cloud says the same"
    port, log = Port(), _mounted()
    Clock(port, log).on_date(DATE)
    assert _uncertain(log) == {log.boot: 1}


def _boots(offs, last=None, dates=()):
    """Anchors after boots whose clocks were off so, in s; the `last` one hears the dates."""
    device = RamDevice(16)
    for off in offs:
        Clock(Port(off * 1000000), _mounted(device))
    log = _mounted(device)
    clock = Clock(Port(None if last is None else last * 1000000), log)
    for date in dates:
        clock.on_date(date)
    again = _mounted(device)
    assert _uncertain(again) == _uncertain(log), "also after a restart"
    return [_uncertain(log)[boot] for boot in sorted(_uncertain(log))]


def test_a_clock_that_is_found_wrong_was_it_in_earlier_boots_that_had_no_other():
    wrong, right = 2, 3
    for off in (3600, -3600, 10**8, 61):
        assert _boots([off, off], off, [DATE]) == [wrong, wrong, 1]
    # It drifts a little; it was lost with power, and set right again.
    for last in (0, 59, -59, None):
        assert _boots([-3600, -20], last, [DATE]) == [right, right, 1]
    # It says that it was later than it is.
    assert _boots([3600, -3600], None, [DATE]) == [wrong, right, 1]
    # Nobody says what time it is.
    assert _boots([3600], 3600, []) == [right, right]


def test_what_the_cloud_confirmed_stays_when_a_later_clock_is_wrong():
    device = RamDevice(16)
    for off, wanted in ((0, {1: 1}), (3600000000, {1: 1, 2: 1})):
        log = _mounted(device)
        Clock(Port(off), log).on_date(DATE)
        assert _uncertain(log) == wanted


def test_the_first_answer_settles_it_also_without_a_date():
    """Readings were sent by the board's clock: a date of a later answer does not reorder them."""
    port, log = Port(3600000000), _mounted()
    clock = Clock(port, log)
    start = _start(log)
    clock.on_date(None)
    clock.on_date(DATE)
    assert _start(log) == start
    port.owed = 0
    port.up += 3600000000
    clock.on_date(_date(NOW + 3600000000))
    assert _start(log) == start and port.owed == -2000000


def test_once_settled_nothing_moves_it():
    """NTP steps, a wrong date of another server: a boot's readings keep their order."""
    for off in (None, 0, 300000):
        port, log = Port(off), _mounted()
        clock = Clock(port, log)
        clock.on_date(DATE)
        start = _start(log)
        port.up += 3600000000
        port.off = -(10**13)
        clock.on_date("Fri, 22 Nov 2030 16:31:51 GMT")
        clock.on_date("Sun, 22 Nov 2026 16:31:51 GMT")
        assert _start(log) == start


def _date(utc_us):
    """The header at that time of November or December 2026."""
    at = (utc_us - NOW) // 1000000 + 59511 + 86400 * 21  # since the 1st of November
    day, second = at // 86400, at % 86400
    month = "Nov" if day < 30 else "Dec"
    time = (second // 3600, second // 60 % 60, second % 60)
    return "Sun, %02d %s 2026 " % (day % 30 + 1, month) + "%02d:%02d:%02d GMT" % time


class Drifting(Port):
    """A board whose crystal is so many ppm too fast, and that makes up for what it owes."""

    def __init__(self, ppm):
        super().__init__()
        self.ppm = ppm
        self.owed = 0

    def hour(self):
        step = 3600000000 + 3600 * self.ppm
        gain = max(-180000, min(180000, self.owed))
        self.owed -= gain
        self.up += step + gain


def test_a_crystal_that_is_off_does_not_add_up_over_a_month():
    for ppm in (-20, 0, 20):
        port, log = Drifting(ppm), _mounted()
        clock = Clock(port, log)
        now = NOW
        clock.on_date(_date(now))
        start = _start(log)
        for hour in range(30 * 24):
            port.hour()
            now += 3600000000
            away = 400 < hour < 440  # nobody answers
            limit = 6000000 if 400 < hour < 480 else 3000000
            assert abs(start + port.up - now) < limit, (ppm, hour)
            if not away:
                for _ in range(3):
                    clock.on_date(_date(now))
        assert _start(log) == start, "and what was sent is not dated anew"


def test_one_wrong_date_moves_little():
    port, log = Drifting(0), _mounted()
    clock = Clock(port, log)
    clock.on_date(DATE)
    port.hour()
    clock.on_date("Fri, 22 Nov 2030 16:31:51 GMT")
    for _ in range(1000):
        port.hour()
    assert _start(log) + port.up - NOW - 1001 * 3600000000 <= 2000000
