"""The chip's port, under MicroPython with stand-ins that offer what stock firmware offers."""

import asyncio
import re
import socket
import subprocess
import time
import types

import pytest

from chip_stand_in import chip, images
from cistern.capture.collector import Collector
from cistern.capture.engine import Engine
from cistern_tools import devca
from cistern_tools.image import boards, build, firmware, nvs, vfs
from support import LIB, micropython_command

pytestmark = pytest.mark.skipif(
    micropython_command() is None, reason="there is no MicroPython for this machine"
)
NET, PSK = "greenhouse net", "a password"
# Modules of lib/cistern that a chip has of the port's and what they need.
PARTS = (
    "borrow",
    "errors",
    "shelf",
    "port/__init__",
    "port/dns",
    "port/dial_mpy",
    "port/names_mpy",
    "port/ntp",
    "port/stream_mpy",
    "port/pem",
    "port/link_why",
)


@pytest.fixture
def on_chip(tmp_path):
    """run(program, {NVS key: value}) → what a new chip prints whose main.py is HEAD + program."""
    ordered = images.an_order(devca.ensure(tmp_path / "tls").ca)
    code = {"/none": b""}
    made = build.build(ordered, boards.load("esp32_generic"), images.stock(), "the.bin", code)
    table = firmware.find(made).table
    files = {}
    modules = [
        LIB / "cistern/__init__.py",
        *(LIB / "cistern/port").glob("esp32*.py"),
        *(LIB / f"cistern/{n}.py" for n in PARTS),
    ]
    for path in modules:
        files[f"/lib/{path.relative_to(LIB)}"] = path.read_bytes()

    def run(main, settings=None, resumed=False):
        values = {key: value.encode() for key, value in (settings or {}).items()}
        secrets, store = table.find("nvs"), table.find("vfs")
        image = bytearray(made)
        put(image, secrets, nvs.make(values, secrets.size))
        put(image, store, vfs.make({**files, "/main.py": (HEAD + main).encode()}, store.size))
        rtc = tmp_path / "rtc.bin"
        kept = rtc.read_bytes() if resumed else b""
        if kept[:1] != b"\1":
            kept = b""  # it did not reset itself: power was cut
        command = chip.command(tmp_path, bytes(image), NET, PSK)
        rtc.write_bytes(kept)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        return said

    return run


def put(image, partition, data):
    image[partition.offset : partition.offset + len(data)] = data


HEAD = """
import asyncio
import machine
import time
from cistern.errors import LinkError
from cistern.port.esp32 import Port

async def tries(port, *where):
    try:
        await port.connect(*where)
        print("connected")
    except LinkError as e:
        print(e.layer, e.retry, e)
"""
WIFI = {"ssid": NET, "psk": PSK}


def test_settings_come_from_nvs_and_what_is_absent_is_empty(on_chip):
    said = on_chip(
        """
p = Port()
print([p.setting(k) for k in ("part_id", "secret", "psk", "nothing")], p.flash.ioctl(4, 0))
print(p.wlan, p.reset_cause, machine.freq())
""",
        {"part_id": "p-1", "secret": "s" * 64},
    )
    assert f"['p-1', '{'s' * 64}', '', ''] 256" in said
    assert "None power on 240000000" in said


def test_time_is_unknown_until_it_is_set_and_survives_a_new_port(on_chip):
    said = on_chip(
        """
p = Port()
print(p.utc_us())
p.set_clock(1790000000123456)
p.keep_clock(p.utc_us())
print(0 <= p.utc_us() - 1790000000123456 < 20000000, p.setting("clock"))
print(0 <= Port().utc_us() - 1790000000123456 < 20000000)
a = p.uptime_us()
time.sleep_ms(30)
b = p.uptime_us() - a  # the PC rounds its sleeps
print(20000 <= b < 1000000)
""",
        {"cloud_url": "https://127.0.0.1"},
    )
    assert "None\nTrue 1790000000\nTrue\nTrue" in said


def test_power_on_starts_the_clock_no_earlier_than_was_known_but_does_not_call_it_the_time(
    on_chip,
):
    program = "p = Port()\nprint(p.utc_us(), time.gmtime()[0])\n"
    assert "None 2027" in on_chip(program, {"clock": "1800000000"})
    assert "None 2000" in on_chip(program)
    assert "None 2000" in on_chip(program, {"clock": "yesterday"})


def test_a_clock_that_is_before_what_was_known_is_none(on_chip):
    """It was set wrong before the board's owner said what time it is."""
    said = on_chip(
        """
Port().set_clock(1700000000000000)
p = Port()
print("behind", p.utc_us(), time.gmtime()[0], machine.RTC().memory())
p.set_clock(1799999500000000)
print("seconds behind", Port().utc_us() // 1000000)
""",
        {"clock": "1800000000"},
    )
    assert "behind None 2027 b''" in said and "seconds behind 1799999" in said


def test_what_is_remembered_is_what_a_cloud_with_a_certificate_said(on_chip):
    program = """
p = Port()
for us in (1790000000000000, 1790000001000000, 1795000000000000, 1780000000000000):
    p.keep_clock(us)
    print(p.setting("clock") or "nothing", end=" ")
p.raise_clock(1781000000000000)
print(p.setting("clock") or "nothing", p.utc_us(), p.at_least_us() // 1000000 - 1781000000)
"""
    said = on_chip(program, {"cloud_url": "https://127.0.0.1"})
    assert "1790000000 1790000000 1795000000 1780000000 1781000000 None 0" in said
    # Anyone on the way can say a date where there is no TLS.
    said = on_chip(program, {"cloud_url": "http://127.0.0.1"})
    assert "nothing nothing nothing nothing nothing None 0" in said


def test_uptime_goes_on_where_ticks_wrap(on_chip):
    said = on_chip(
        """
ticks = [(1 << 30) - 5]
time.ticks_us = lambda: ticks[0]
p = Port()
for ticks[0] in (10, 1 << 28, 1 << 29, 3 << 28, 20):
    p.feed()
print("uptime", p.uptime_us())
"""
    )
    assert f"uptime {(1 << 30) + 25}" in said


def test_uptime_gains_what_is_owed_at_50_ppm_and_never_goes_back(on_chip):
    said = on_chip(
        """
now = 0
time.ticks_us = lambda: now & (1 << 30) - 1
p = Port()
for owed in (2000000, -2000000):
    p.owed = owed
    last = p.uptime_us()
    off = last - now
    back = steps = 0
    began = now
    while p.owed:
        now += (1, 7, 19999, 20000, 99999, 500000000)[steps % 6]
        steps += 1
        uptime = p.uptime_us()
        back = min(back, uptime - last)
        last = uptime
    took = (now - began) // 1000000000
    print("gained", last - now - off, "back", back, "ks", took)
"""
    )
    for gained in ("2000000", "-2000000"):
        assert f"gained {gained} back 0 ks 40" in said


def test_state_is_replaced_whole_and_kept(on_chip):
    said = on_chip(
        """
p = Port()
import os
print(p.load_state("machine.json"))
p.save_state("machine.json", "one")
p.save_state("machine.json", "two")
print(p.load_state("machine.json"), sorted(os.listdir("/")))
with open("/last_machine.json", "wb") as f:
    f.write(b"\\xff\\xfe broken")
p.save_state("machine.json", "three")
print(p.load_state("machine.json"))
"""
    )
    assert "None\ntwo ['last_machine.json', 'lib', 'main.py']\nthree" in said


def test_wifi_is_joined_when_a_stream_is_wanted_and_the_reserve_is_held_again(on_chip):
    said = on_chip(
        """
import esp32
before = sum(r[1] for r in esp32.idf_heap_info(esp32.HEAP_DATA))
p = Port()
print("held", before - p.system()[0])
asyncio.run(tries(p, "127.0.0.1", 1, None, 3000))
print("held", before - p.system()[0])
print(p.wlan.isconnected(), p.wlan.config("reconnects"), p.wlan.config("pm"))
p.feed()
p.feed()
print(p.wlan.config("pm"))
""",
        {**WIFI, "cloud_url": "https://127.0.0.1", "ntp": "127.0.0.1:1"},
    )
    wifi, tls = 14336, 17408 + 4 * 5120
    start, later = [int(n) for n in re.findall(r"held (\d+)", said)]
    assert wifi + tls < start < wifi + tls + 3072  # threads have more than their stacks
    assert later == start  # there was no server: all is held again, before it is said why
    assert f"Wi-Fi {NET}: 127.0.0.1" in said
    assert "connect True cannot connect to 127.0.0.1 port 1: connection refused" in said
    assert "True 1 0" in said and said.rstrip().splitlines()[-2] == "1"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "connect False no Wi-Fi network is configured"),
        ({"ssid": "elsewhere"}, "connect True Wi-Fi elsewhere: not found"),
        ({"ssid": NET, "psk": "wrong password"}, f"Wi-Fi {NET}: the password is wrong"),
    ],
)
def test_why_there_is_no_wifi_is_said(on_chip, settings, words):
    program = """
from cistern.port import esp32_net, stream_mpy
esp32_net.Net.join_ms = 1500
asyncio.run(tries(Port(), "127.0.0.1", 1))
"""
    said = on_chip(program, settings)
    assert words in said and "wrong password" not in said.replace("the password is wrong", "")


def test_fixed_addresses_are_used(on_chip):
    said = on_chip(
        """
p = Port()
asyncio.run(tries(p, "127.0.0.1", 1))
print(p.wlan.ifconfig())
""",
        {**WIFI, "ifconfig": "10.0.0.9/255.255.255.0/10.0.0.1/10.0.0.2", "ntp": "127.0.0.1:1"},
    )
    assert "('10.0.0.9', '255.255.255.0', '10.0.0.1', '10.0.0.2')" in said


def test_the_time_comes_by_ntp_before_the_first_stream(on_chip):
    with chip.time_server() as ntp:
        said = on_chip(
            """
p = Port()
asyncio.run(tries(p, "127.0.0.1", 1))
print("utc", p.utc_us())
""",
            {**WIFI, "ntp": ntp},
        )
    utc = int(said.split("utc ")[1].split()[0]) / 1e6
    assert abs(utc - time.time()) < 30, said


ASKS = """
p = Port()
asyncio.run(tries(p, "127.0.0.1", 1))
print("utc", p.utc_us(), "why", p.no_time)
"""
YEAR = 31536000


def altered(at, data):
    """Other bytes at a place of a time server's answer."""

    def alter(sock, client, answer):
        sock.sendto(answer[:at] + data + answer[at + len(data) :], client)

    return alter


@pytest.mark.parametrize(
    ("alter", "why"),
    [
        (altered(40, bytes(8)), "time is none"),
        (altered(0, b"\xe4"), "does not know the time"),
        (altered(1, b"\x00"), "refuses"),
        (altered(1, b"\x10"), "does not know the time"),
        (altered(24, b"\x01" * 8), "no answer"),
        (altered(0, b"\x23"), "no answer"),
        (altered(0, b"\x1c"), "no answer"),
        (altered(8, b"\x7f"), "time is none"),
        (altered(40, chip.stamped(time.time() - 2 * YEAR)), "cannot be"),
        (altered(40, chip.stamped(time.time() + 12 * YEAR)), "cannot be"),
        (lambda sock, client, answer: sock.sendto(answer[:47], client), "no answer"),
        (lambda sock, client, answer: None, "no answer"),
    ],
)
def test_what_is_no_time_sets_no_clock_and_is_said(on_chip, alter, why):
    with chip.time_server(alter) as ntp:
        said = on_chip(ASKS, {**WIFI, "ntp": ntp, "clock": str(int(time.time()) - YEAR)})
    assert "utc None" in said and why in said.split("why ")[1], said
    assert said.count("no time by NTP") == 1


def test_the_answer_of_somebody_else_is_not_heard(on_chip):
    """It has all that this one has, but for where it comes from."""

    def alter(sock, client, answer):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            other.sendto(answer[:40] + chip.stamped(time.time() + YEAR), client)
        sock.sendto(answer, client)

    with chip.time_server(alter) as ntp:
        said = on_chip(ASKS, {**WIFI, "ntp": ntp})
    assert abs(int(said.split("utc ")[1].split()[0]) / 1e6 - time.time()) < 30, said


def test_why_there_is_no_time_is_said_once_and_again_when_it_changes(on_chip):
    said = on_chip(
        """
p = Port()
for _ in range(3):
    asyncio.run(p.learn_time())
settings, p.setting = p.setting, lambda key: "localhost:x" if key == "ntp" else settings(key)
for _ in range(3):
    asyncio.run(p.learn_time())
""",
        {**WIFI, "ntp": "127.0.0.1:1"},
    )
    assert said.count("no time by NTP") == 2, said


def test_a_call_that_was_given_up_leaves_the_radio_at_it(on_chip):
    """The next one does not begin anew, which would never end with slow access points."""
    said = on_chip(
        """
p = Port()
connect, n = p.wlan.connect, []
async def go():
    from cistern.port.esp32_net import Net
    net = Net(p)
    for _ in range(3):
        try:
            await asyncio.wait_for_ms(net.join(), 120)
        except asyncio.TimeoutError:
            n.append(net.again)
    await net.join()
    print(len(set(n)), p.wlan.isconnected())
asyncio.run(go())
""",
        WIFI,
    )
    assert "1 True" in said


def test_hardware_has_the_face_that_models_use(on_chip):
    said = on_chip(
        """
p = Port()
import sys
print([n for n in sys.modules if n.startswith("cistern.port.esp32_")], p.spare)
print(p.adc(34).read_uv() > 0, p.pin(4, "in", "up").value(), p.pin(34, "in", "up").value())
out = p.pin(5, "out")
out.value(1)
print(p.pin(5, None).value(), p.chip_celsius() > 40, p.model_files(), p.room("/", 0) > 100000)
try:
    p.wifi_rssi()
except OSError as e:
    print(e)
try:
    p.encoder(18, 19)
except ValueError as e:
    print(e)
try:
    p.nothing
except AttributeError:
    print("no attribute")
"""
    )
    assert "['cistern.port.esp32_spare'] None" in said, "hardware is loaded though nobody asked"
    assert "True 0 0\n1 True () True\nno connection\n" in said
    assert "this firmware has no pulse counter" in said and "no attribute" in said


def test_timers_are_given_out_and_taken_back(on_chip):
    said = on_chip(
        """
p = Port()
count = [0]
def tick(t):
    count[0] += 1
async def go():
    timers = [p.timer(20000, tick) for _ in range(4)]
    try:
        p.timer(20000, tick)
    except ValueError as e:
        print(e)
    for t in timers[1:]:
        t.stop()
    count[0] = 0
    await asyncio.sleep_ms(210)
    print("counted", count[0])
    timers[0].stop()
    p.timer(20000, tick).stop()
asyncio.run(go())
"""
    )
    assert "all 4 timers are taken" in said
    assert 5 <= int(said.split("counted ")[1].split()[0]) <= 12


def test_a_nap_uses_the_last_timer_unless_a_collector_has_it(on_chip):
    said = on_chip(
        """
p = Port()
began = []
machine.Timer.init = lambda self, **how: began.append(how.get("mode"))
async def nap():
    start = time.ticks_us()
    await p.nap_us(30000)
    print(time.ticks_diff(time.ticks_us(), start) > 20000, began)
async def go():
    await nap()
    for _ in range(4):
        p.timer(1000, print)
    began.clear()
    await nap()
asyncio.run(go())
"""
    )
    assert "True [0]\nTrue []" in said


class AwaitedError(Exception):
    pass


@pytest.mark.parametrize(("period_us", "expected"), [(20000, "nap"), (100000, "sleep")])
def test_the_engine_naps_where_sleep_is_too_coarse(period_us, expected):
    class Board:
        def ticks_us(self):
            return 0

        def ticks_diff(self, a, b):
            return a - b

        def nap_us(self, us):
            raise AwaitedError("nap")

        def sleep_ms(self, ms):
            raise AwaitedError("sleep")

    board = Board()
    source = types.SimpleNamespace(fields=None)
    ring = types.SimpleNamespace(overwritten=0, used=0, size=1, readings=0, oldest_tick=None)
    engine = Engine(board, types.SimpleNamespace(maintain=lambda *_: False))
    engine.add(Collector("c", source, ring, (period_us, 0, 1), board))
    with pytest.raises(AwaitedError, match=expected):
        asyncio.run(engine.run())


BITE = "the watchdog would have reset the chip"
WATCHDOG = """
from cistern.port import esp32
esp32.Port.watchdog_ms = 300
p = Port()
for _ in range(5):
    time.sleep_ms(100)
    p.feed()
print("fed")
"""


def test_a_chip_that_is_not_fed_resets(on_chip):
    said = on_chip(WATCHDOG + "time.sleep_ms(400)\np.feed()\n")
    assert "fed" in said and BITE in said


def test_nothing_resets_a_chip_that_somebody_uses_at_the_repl(on_chip):
    said = on_chip(WATCHDOG + "p.leave()\ntime.sleep_ms(400)\np.feed()\nprint('left')\n")
    assert "left" in said and BITE not in said


def test_buffers_lie_beside_the_heap_while_there_is_room(on_chip):
    said = on_chip(
        """
import uctypes
from cistern.port.esp32_spare import Spare
ram = bytearray(b"x" * 1024)
begin = uctypes.addressof(ram)
spare = Spare(((begin, begin + 768), (begin + 768, begin + 1024)))
def where(buf):
    at = uctypes.addressof(buf) - begin
    return at if 0 <= at < 1024 else None
a = spare.take(200)
b = spare.take(301)
c = spare.take(100)
print([where(x) for x in (a, b, c, spare.take(2000))], spare.free, sum(a) + sum(b) + sum(c))
b[300] = 7
spare.give(spare.take(2000))
spare.give(b)
spare.give(c)
print(where(spare.take(768)), spare.free, ram[:4], Port().spare)
"""
    )
    # The smallest hole that takes it; where none does, the heap.
    assert "[768, 0, 304, None] 416 0" in said
    assert "0 56 bytearray(b'\\x00\\x00\\x00\\x00') None" in said


def test_a_second_start_is_one_of_the_chip(on_chip):
    """What ran before has the heap in pieces and memory of the network in use, also where it was
    interrupted while it began.
    """
    said = on_chip(
        """
import cistern
import cistern.port.esp32
class Interrupted:
    def __init__(self):
        raise KeyboardInterrupt
cistern.port.esp32.Port = Interrupted
try:
    cistern.start()
except KeyboardInterrupt:
    print("Ctrl-C")
cistern.start()
print("not here")
"""
    )
    assert "Ctrl-C\nthe board starts anew\n" in said.replace("\r", "")
    assert "not here" not in said


def test_code_stays_beside_the_heap_where_buffers_come_and_go(on_chip):
    said = on_chip(
        """
import uctypes
from cistern.port.esp32_spare import Spare
ram = bytearray(1280)
begin = uctypes.addressof(ram) + 7 & -8
spare = Spare(((begin, begin + 768), (begin + 1000, begin + 1256)))
def where(buf):
    return uctypes.addressof(buf) - begin
a = spare.take(400)
one, two = spare.put(b"one"), spare.put(b"2" * 253)
three, none = spare.put(b"3" * 300), spare.put(b"4" * 69)
print([at - begin for at in (one, two, three)], none, spare.free)
print(where(a), [uctypes.bytearray_at(at, 3) for at in (one, two, three)])
"""
    )
    assert "[1253, 1000, 468] None 68" in said
    code = "[bytearray(b'one'), bytearray(b'222'), bytearray(b'333')]"
    assert f"0 {code}" in said


RESTARTS = """
from cistern.port import esp32_net, stream_mpy
up = 0
Port.uptime_us = lambda self: up * 1000000
p = Port()
print("restarts", p.restarts, p.in_vain, p.away_us)
async def lacking(*args):
    e = LinkError("tls", "no memory")
    e.memory = True
    raise e
async def refused(*args):
    raise LinkError("connect", "refused")
class Worked:
    unproven = error = on_write = on_close = None
async def works(*args):
    return Worked()
async def times(n, what):
    stream_mpy.connect = what
    for _ in range(n):
        try:
            (await p.connect("127.0.0.1", 1, {"insecure": True})).on_close()
        except LinkError:
            pass
def after(seconds, n, what):
    global up
    up = seconds
    asyncio.run(times(n, what))
    print(what.__name__, bool(p.worn))
"""


def test_a_connection_that_ends_late_takes_nothing_from_the_next(on_chip):
    """A server broke HTTP/2, and what it still says is read while the next connection is made."""
    said = on_chip(
        RESTARTS
        + """
async def twice():
    stream_mpy.connect = works
    first = await p.connect("127.0.0.1", 1, {"insecure": True})
    held = []
    async def during(*args):
        first.on_broken()
        first.on_close()
        return Worked()
    stream_mpy.connect = during
    net = p.network()
    net.hold = lambda: held.append(1)
    second = await p.connect("127.0.0.1", 1, {"insecure": True})
    print("held", len(held))
    second.on_close()
    print("held", len(held))
asyncio.run(twice())
""",
        {**WIFI, "cloud_url": "https://127.0.0.1", "ntp": "127.0.0.1:1"},
    )
    assert "held 0" in said and "held 1" in said, said


def _closed_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_a_refused_connection_takes_no_memory_of_tls(on_chip):
    """A chip's poll tells of errors only who asks for them: to others it looks writable."""
    said = on_chip(
        """
p = Port()
net = p.network()
made = []
real = net.make_room
async def make_room():
    made.append(1)
    await real()
net.make_room = make_room
async def refused():
    try:
        await p.connect("127.0.0.1", PORT, {"insecure": True})
    except LinkError as e:
        print("layer", e.layer, "room", made)
asyncio.run(refused())
""".replace("PORT", str(_closed_port())),
        {**WIFI, "cloud_url": "https://127.0.0.1", "ntp": "127.0.0.1:1"},
    )
    assert "layer connect room []" in said, said


def test_the_heap_is_kept_together_beside_tls_and_elsewhere_only_at_first(on_chip):
    program = """
from cistern.port import esp32
asked = []
class Gc:
    threshold = asked.append
esp32.gc = Gc
p = Port()
p.feed()
p.feed()
print("thresholds", asked)
"""
    for url, asked in (("https://127.0.0.1", [4096]), ("http://127.0.0.1", [4096, -1, -1])):
        said = on_chip(program, {**WIFI, "cloud_url": url, "ntp": "127.0.0.1:1"})
        assert f"thresholds {asked}" in said, said


def test_only_want_of_memory_restarts_a_board_and_once_an_hour_at_most(on_chip):
    said = on_chip(
        RESTARTS
        + """
after(80000, 50, refused)
after(3500, 50, lacking)
after(3700, 1, works)
after(3700, 5, lacking)
after(3700, 1, works)
after(3700, 5, lacking)
after(3700, 1, lacking)
p.reset()
""",
        {**WIFI, "cloud_url": "https://127.0.0.1", "ntp": "127.0.0.1:1"},
    )
    words = re.findall(r"^(refused|lacking|works) (True|False)", said, re.M)
    assert [w[1] for w in words] == ["False"] * 6 + ["True"], said
    assert said.count("makes all durable and restarts") == 1


def test_restarts_that_do_not_help_come_later_and_later_and_are_counted(on_chip):
    """What the board knows of them lasts over a restart, not over a power cut."""
    settings = {**WIFI, "cloud_url": "https://127.0.0.1", "ntp": "127.0.0.1:1"}
    first = on_chip(RESTARTS + "after(4000, 6, lacking)\np.reset()\n", settings)
    assert "restarts 0 0 0" in first
    program = RESTARTS + "after(7100, 6, lacking)\nafter(7300, 1, lacking)\np.reset()\n"
    second = on_chip(program, settings, resumed=True)
    away = int(re.search(r"restarts 1 1 (\d+)", second)[1])
    assert 0 <= away < 60000000
    assert "lacking False\nlacking True" in re.sub(r" +\d.*\n", "", second), second
    count = """
class Collector:
    half = 500000
    def lose(self, reason, tick, count=1):
        print("lost", reason, count)
p.away_us = 90000000
up = 10
p.count_restart(p, [Collector()])
"""
    third = on_chip(RESTARTS + count, settings, resumed=True)
    assert "restarts 2 2" in third and "lost 12 100" in third
    assert "restarts for want of memory since power came: 2" in third
    assert "restarts 0 0 0" in on_chip(RESTARTS, settings, resumed=True)


def test_spi_selects_one_chip_and_uses_the_controllers_that_the_chip_has(on_chip):
    said = on_chip(
        """
p = Port()
main = p.spi(18, 23, 19, 1000000, 3)
a, b = main.chip(5), main.chip(25)
buf = bytearray(b"\\x01\\x80\\x00")
a.exchange(buf)
print(bytes(buf))
b.exchange(buf)
p.spi(14, 13, 12, 500000, 0).chip(4).exchange(buf)
p.spi(18, 23, 19, 250000, 0).chip(5).exchange(buf)
machine.SPI._controllers = 1
p.spi(14, 13, 12, 500000, 0).chip(4).exchange(buf)
"""
    )
    assert "spi (1, 1000000, 1, 1, 18, 23, 19) [5]\nb'\\xfe\\x7f\\xff'" in said
    assert "spi (1, 1000000, 1, 1, 18, 23, 19) [25]" in said
    assert "spi (2, 500000, 0, 0, 14, 13, 12) [4]" in said
    assert "spi (1, 250000, 0, 0, 18, 23, 19) [5]" in said
    assert "spi ('soft', 500000, 0, 0, 14, 13, 12) [4]" in said


EXPIRED = """
p = Port()
class Stream:
    unproven = "cloud"
    error = on_write = on_close = None
made = []
async def connect(*args):
    await args[-1]()
    made.append(Stream())
    return made[-1]
from cistern.port import esp32_net, stream_mpy
stream_mpy.connect = connect
async def main(valid, why="the certificate of cloud has expired (or the clock is wrong)"):
    stream = await p.connect("127.0.0.1", 1, {"ca": b""})
    year = time.gmtime()[0]
    if valid(year):
        stream.unproven = None
    else:
        stream.error = LinkError("tls", why)
    stream.on_close()
    print("connection", year, p.utc_us() is not None, p.setting("clock")[:2])
"""


def connections(said):
    return [line for line in said.splitlines() if line.startswith("connection")]


def test_wrong_time_is_asked_for_again_when_no_certificate_is_valid(on_chip):
    """A time server that was wrong once must not end sync until power is cut."""
    program = """
p.set_clock(2000000000000000)
for _ in range(3):
    asyncio.run(main(lambda year: year < 2032))
"""
    with chip.time_server() as ntp:
        settings = {**WIFI, "cloud_url": "https://127.0.0.1", "ntp": ntp}
        said = on_chip(EXPIRED + program, {**settings, "clock": "1780000000"})
    year = time.gmtime().tm_year
    right = f"connection {year} True 17"
    # A time server's time is not kept for the next power-on.
    assert connections(said) == ["connection 2033 True 17", right, right], said


def test_a_time_server_that_is_always_wrong_does_not_lock_https_out(on_chip):
    """Certificates have expired at its time: what the board remembers is tried."""
    program = """
for _ in range(4):
    asyncio.run(main(lambda year: year == 2026))
"""
    with chip.time_server(altered(40, chip.stamped(2000000000))) as ntp:
        settings = {**WIFI, "cloud_url": "https://127.0.0.1", "ntp": ntp, "clock": "1780000000"}
        said = on_chip(EXPIRED + program, settings)
    works = "connection 2026 False 17"
    assert connections(said) == ["connection 2033 True 17", works, works, works], said
    assert "no certificate is valid at the time server's time" in said


def test_a_clock_is_not_doubted_for_a_connection_that_broke(on_chip):
    program = """
p.set_clock(1790000000000000)
for _ in range(2):
    asyncio.run(main(lambda year: False, "the server closed the connection"))
"""
    settings = {**WIFI, "cloud_url": "https://127.0.0.1", "ntp": "127.0.0.1:1"}
    said = on_chip(EXPIRED + program, {**settings, "clock": "1780000000"})
    assert connections(said) == ["connection 2026 True 17"] * 2 and "NTP" not in said


def test_a_time_server_that_is_no_name_is_said_and_the_board_connects(on_chip):
    program = "p = Port()\nasyncio.run(tries(p, '127.0.0.1', 1))\n"
    said = on_chip(program, {**WIFI, "ntp": "localhost:x"})
    assert "no time by NTP" in said and "connection refused" in said


def test_a_cloud_without_a_network_is_no_reason_to_restart(on_chip):
    program = "p = Port()\nasyncio.run(tries(p, '127.0.0.1', 1))\np.feed()\nprint('goes on')\n"
    said = on_chip(program, {"cloud_url": "https://127.0.0.1"})
    assert "no Wi-Fi network is configured" in said and "goes on" in said


def test_serial_lines_and_pulse_counters_can_be_had_again(on_chip):
    said = on_chip(
        """
class Part:
    def __init__(self, number, *pins, **more):
        print("made", number)
    def deinit(self):
        print("ended")
machine.UART = machine.Encoder = Part
p = Port()
for _ in range(5):
    p.end_uart(p.uart(17, 16, 9600, 1024))
a, b = [p.uart(17, 16, 9600, 1024) for _ in range(2)]
try:
    p.uart(4, 5, 9600, 1024)
except ValueError as e:
    print(e)
for _ in range(20):
    p.end_encoder(p.encoder(18, 19))
made = [p.encoder(18, 19) for _ in range(8)]
try:
    p.encoder(18, 19)
except ValueError as e:
    print(e)
"""
    )
    assert said.count("ended") == 25 and said.count("made 2") == 2
    assert "both serial lines of the chip are taken" in said
    assert "all 8 pulse counters of the chip are taken" in said
