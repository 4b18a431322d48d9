"""The files of an image run: boot.py, main.py and all that they import, under MicroPython with
stand-ins that offer only what stock firmware for ESP32 offers.
"""

import json
import subprocess

import pytest

from bench_support import PART, SECRET, Bench
from chip_stand_in import chip, images, stubs
from cistern_tools import mpy
from cistern_tools.image import contents, firmware, order, vfs
from support import eventually, micropython_command

pytestmark = pytest.mark.skipif(
    micropython_command() is None or mpy.host_architecture() is None,
    reason="no MicroPython for this machine that loads machine code",
)
NET, PSK = "greenhouse net", images.PSK


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.start_receiver()
    with chip.time_server() as ntp:
        made.ntp = ntp
        yield made
    made.stop_receiver()


def an_image(bench, machine):
    """An image for the bench's receiver whose machine code this PC can run."""
    ordered = order.Order(
        machine=json.dumps(machine).encode(),
        ssid=NET,
        psk=PSK,
        url=bench.url,
        part_id=PART,
        secret=SECRET,
        ca=order.ca_files(order.read_file(bench.ca, "CA")),
        ntp=bench.ntp,
    )
    return images.an_image(ordered, architecture=mpy.host_architecture())


class Chip:
    """A chip that runs; its console goes to a file."""

    def __init__(self, bench, image, ssid=NET, psk=PSK):
        self._path = bench.folder / "console"
        self._file = open(self._path, "a")  # noqa: SIM115 - closed by __exit__
        command = chip.command(bench.folder, image, ssid, psk)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._file, stderr=self._file
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self._file.close()

    def said(self):
        return self._path.read_text()

    def stop(self):
        """Ctrl-C; the exit status."""
        self.process.stdin.write(b"\x03")
        self.process.stdin.flush()
        return self.process.wait(20)


def streams(bench):
    """(component, method, reader) that the cloud has readings of."""
    rows = bench.rows("SELECT DISTINCT component, method, params FROM readings")
    return {(c, m, json.loads(p).get("reader_name")) for c, m, p in rows}


def with_board(machine):
    """The same with a board, whose pins are read at 5 and, by a timer, at 250 Hz."""
    methods = [
        {"method": "Analogs", "capture_frequency_hz": hz, "additional_params": {"reader_name": n}}
        for n, hz in (("light", 5), ("sound", 250))
    ]
    board = {
        "name": "board",
        "type": "board",
        "model": "esp32",
        "attributes": {
            "analogs": [{"name": "light", "pin": "34"}, {"name": "sound", "pin": "35"}]
        },
        "service_configs": [{"type": "data_manager", "attributes": {"capture_methods": methods}}],
    }
    return {**machine, "components": [*machine["components"], board]}


def test_the_images_files_run_to_a_finished_sync(bench):
    image = an_image(bench, with_board(images.MACHINE))
    with Chip(bench, image) as chip_:
        eventually(
            lambda: (
                streams(bench)
                == {
                    ("greenhouse", "Readings", None),
                    ("board", "Analogs", "light"),
                    ("board", "Analogs", "sound"),
                }
            ),
            40,
        )
        assert chip_.stop() == 0, chip_.said()
        said = chip_.said()
    assert "Traceback" not in said and "Error" not in said, said
    assert f"Wi-Fi {NET}: " in said
    assert PSK not in said and SECRET not in said
    (numbers,) = bench.counters("greenhouse").values()
    assert numbers == list(range(len(numbers)))
    # What was stored is marked in the capture partition of the very image that was flashed.
    found = contents.inspect((bench.folder / "chip.bin").read_bytes())
    counts = contents.readings(found.log)
    stored = bench.rows("SELECT count(*) FROM readings")[0][0]
    # Ctrl-C may come between the cloud's answer and the mark.
    assert 0 < counts["sent"] <= stored <= counts["sent"] + counts.get("unsent", 0)
    assert not found.log.damage
    assert {loss["reason"] for loss in found.log.losses} <= {"late"}  # a PC with much else to do


def test_a_power_cut_loses_nothing_that_was_durable(bench):
    image = an_image(bench, images.MACHINE)
    with Chip(bench, image):
        eventually(lambda: len(bench.rows("SELECT 1 FROM readings")) > 10, 40)
    with Chip(bench, None):
        eventually(lambda: len(bench.counters("greenhouse")) == 2, 40)
    first, second = bench.counters("greenhouse").values()
    for numbers in (first, second):
        assert numbers == list(range(len(numbers)))


# The stand-ins themselves


@pytest.fixture
def on_chip(tmp_path, tmp_path_factory):
    """What a program prints as main.py of a chip."""

    def run(main):
        shared = tmp_path_factory.getbasetemp() / "stand-in"
        image = images.chip_image(shared, mpy.host_architecture())
        store = firmware.find(image).table.find("vfs")
        image = image[: store.offset] + vfs.make({"/main.py": main.encode()}, store.size)
        command = chip.command(tmp_path, image, NET, PSK)
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr

    return run


WRONG = (
    ("import machine; machine.WDT(5000)", "TypeError"),
    ("import machine; machine.WDT(timeout=5000).deinit()", "AttributeError"),
    ("import machine; machine.Timer(0).init(period=1, tick=5)", "TypeError"),
    ("import machine; machine.Encoder", "AttributeError"),
    ("import esp32; esp32.NVS('a').get_str('b')", "AttributeError"),
    ("import esp32; esp32.NVS('a').get_blob('b')", "TypeError"),
    ("import esp32; esp32.Partition.find(1, name='capture')", "TypeError"),
    ("import network; network.WLAN().config(power=1)", "ValueError"),
    ("import network; network.WLAN().connect('a', password='b')", "TypeError"),
    ("import os; os.getenv('HOME')", "AttributeError"),
    ("import time; time.clock()", "AttributeError"),
    ("import alpn", "ImportError"),
    ("open('/etc/passwd')", "OSError"),
)


def test_what_a_chip_does_not_have_fails(on_chip):
    said = on_chip(
        f"""
for call, _ in {WRONG!r}:
    try:
        exec(call)
        print("nothing:", call)
    except Exception as e:
        print("%s: %s" % (type(e).__name__, call))
"""
    )
    for call, error in WRONG:
        assert f"{error}: {call}" in said, said


def test_what_a_chip_has_works(on_chip):
    said = on_chip(
        """
import esp32, json, machine, network, os, time
assert time.gmtime(0)[0] == 2000 and time.time() < 100
machine.RTC().datetime((2026, 3, 1, 6, 12, 30, 15, 0))
assert time.gmtime(time.time())[:6] == (2026, 3, 1, 12, 30, 15)
assert time.mktime((2026, 3, 1, 12, 30, 15, 0, 0)) <= time.time()
assert network.STA_IF == 0 and machine.PWRON_RESET == 1
machine.Timer(0).deinit()
machine.freq(240000000)
p = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="capture")[0]
p.writeblocks(2, b"abc", 5)
p.writeblocks(2, b"a0c", 5)
buf = bytearray(3)
p.readblocks(2, buf, 5)
assert bytes(buf) == b"a c", buf
p.ioctl(6, 2)
p.readblocks(2, buf, 5)
assert bytes(buf) == b"\\xff" * 3
assert os.listdir("/") == ["main.py"], os.listdir("/")
print("all", "well")
""",
    )
    assert "all well" in said, said


def test_the_stubs_are_those_of_the_chip():
    table = stubs.table(["machine", "esp32"])
    watchdog = table["machine"]["classes"]["WDT"]["methods"]["__init__"]
    assert watchdog == [
        {
            "names": [],
            "only": 0,
            "required": 0,
            "keywords": {"id": False, "timeout": False},
            "more": False,
            "any": False,
            "static": False,
        }
    ]
    assert table["esp32"]["classes"]["Partition"]["constants"]["TYPE_DATA"] == 1
