"""The main job end to end: a board under MicroPython, its power cut, syncing over TLS."""

import contextlib
import datetime
import ipaddress
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cistern_tools.query import connect
from cistern_tools.receiver.accounts import Accounts
from support import eventually

SECRET = "a secret of this test's own, 32 bytes"
PART = "test-part"
CYCLES = 5


def _machine(sensors, interval_mins=0.01):
    return {
        "components": [
            {
                "name": name,
                "type": "sensor",
                "model": "fake",
                "attributes": {"counter": True},
                "service_configs": [
                    {
                        "type": "data_manager",
                        "attributes": {
                            "capture_methods": [
                                {
                                    "method": "Readings",
                                    "capture_frequency_hz": hz,
                                    "cache_size_kb": 4,
                                }
                            ]
                        },
                    }
                ],
            }
            for name, hz in sensors.items()
        ],
        "services": [
            {
                "name": "dm",
                "type": "data_manager",
                "attributes": {"sync_interval_mins": interval_mins, "tags": ["test"]},
            }
        ],
    }


class Bench:
    """A receiver and what a board needs to reach it, in a folder of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / "cloud"
        self.secret = folder / "secret"
        self.secret.write_text(SECRET + "\n")
        self.flash = folder / "board.flash"
        self.data.mkdir()
        with contextlib.closing(Accounts(self.data)) as accounts:
            accounts.add_part(PART, SECRET)
        self.machine = folder / "machine.json"
        self.receiver = None
        self.url = self.ca = ""

    def start_receiver(self, listen="127.0.0.1:0", *more):
        self.receiver = subprocess.Popen(
            [*_cistern("cloud"), "--data", str(self.data), "--listen", listen, "--json", *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        ready = json.loads(self.receiver.stdout.readline())
        self.url = ready["url"]
        self.ca = ready["ca"] or self.folder / "ca.pem"

    def stop_receiver(self):
        if self.receiver:
            self.receiver.terminate()
            assert self.receiver.wait(20) == 0
            self.receiver.stdout.close()
            self.receiver = None

    def board(self, *more, cloud=True, runtime="micropython", **changes):
        """Start a board; changes: url, ca, secret, part."""
        link = ["--offline"]
        if cloud:
            link = [
                *("--cloud", changes.get("url", self.url)),
                *("--ca", str(changes.get("ca", self.ca))),
                *("--part-id", changes.get("part", PART)),
                *("--secret-file", str(changes.get("secret", self.secret))),
            ]
        command = [*_cistern("sim"), str(self.machine), *link, "--json", "--runtime", runtime]
        return Board([*command, "--flash", str(self.flash), *more])

    def rows(self, sql, *args):
        with contextlib.closing(connect(self.data)) as db:
            return db.execute(sql, args).fetchall()

    def counters(self, component):
        """{boot: [n, …] in the order of their times}."""
        found = {}
        sql = """SELECT payload->>'$.readings.boot', payload->>'$.readings.n' FROM readings
            WHERE component = ? ORDER BY time_ns"""
        for boot, n in self.rows(sql, component):
            found.setdefault(boot, []).append(n)
        return found


class Board:
    """A running simulated board; what it prints goes to files, so that nothing blocks."""

    def __init__(self, command):
        name = f"board-{time.monotonic_ns()}"
        folder = command[command.index("--flash") + 1] + "-out"
        os.makedirs(folder, exist_ok=True)
        self._out = open(f"{folder}/{name}.out", "w+")  # noqa: SIM115 - closed by close()
        self._err = open(f"{folder}/{name}.err", "w+")  # noqa: SIM115
        self.process = subprocess.Popen(command, stdout=self._out, stderr=self._err)

    def statuses(self):
        self._out.seek(0)
        return [json.loads(line) for line in self._out.read().splitlines(True) if line[-1] == "\n"]

    def log(self):
        self._err.seek(0)
        return self._err.read()

    def stream(self, name):
        """The newest status of a stream, or None."""
        seen = self.statuses()
        return seen[-1]["streams"].get(name) if seen else None

    def power_cut(self):
        self.process.kill()
        self.process.wait()

    def wait(self, timeout=60):
        return self.process.wait(timeout)

    def close(self):
        if self.process.poll() is None:
            self.power_cut()
        self._out.close()
        self._err.close()


def _cistern(command):
    return [sys.executable, "-m", "cistern_tools", command]


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.machine.write_text(json.dumps(_machine({"slow": 5, "fast": 50})))
    yield made
    made.stop_receiver()


def _expired_certificate(folder):
    """Options for a receiver whose certificate ended yesterday; its CA is folder/ca.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - 9 * day, now - day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(certificate)
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return "--cert", str(folder / "ca.pem"), "--key", str(folder / "server.key")


@contextlib.contextmanager
def _running(board):
    try:
        yield board
    finally:
        board.close()


def test_readings_survive_power_cuts_without_gap_or_double(bench):
    """SIGKILL at random moments: each boot's numbers are 0…k, and all durable ones arrive."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    bench.start_receiver()
    durable = []
    for _ in range(CYCLES):
        with _running(bench.board()) as board:
            eventually(lambda b=board: (b.stream("fast/Readings") or {}).get("durable"))
            time.sleep(dice.uniform(0, 2))  # when the cut comes is what the seed decides
            board.power_cut()
            durable.append(
                {name: board.stream(f"{name}/Readings")["durable"] for name in ("slow", "fast")}
            )
    with _running(bench.board("--for", "1")) as board:
        assert board.wait() == 0, board.log()
        last = board.statuses()[-1]["streams"]
    for name in ("slow", "fast"):
        assert last[f"{name}/Readings"]["pending"] == 0
        boots = bench.counters(name)
        assert len(boots) == CYCLES + 1, f"seed {seed}"
        for numbers, least in zip(boots.values(), [*(d[name] for d in durable), 0], strict=True):
            assert numbers == list(range(len(numbers))), f"seed {seed}: {name}"
            assert len(numbers) >= least, f"seed {seed}: {name} lost durable readings"


def test_a_dead_receiver_costs_nothing_and_sync_goes_on_when_it_is_back(bench):
    bench.start_receiver()
    listen = bench.url.removeprefix("https://")
    with _running(bench.board()) as board:
        eventually(lambda: (board.stream("slow/Readings") or {}).get("synced"))
        bench.stop_receiver()
        eventually(lambda: board.statuses()[-1]["link"].startswith("down"))
        before = board.stream("fast/Readings")["captured"]
        eventually(lambda: board.stream("fast/Readings")["captured"] > before + 50)
        bench.start_receiver(listen)
        eventually(lambda: board.statuses()[-1]["link"] == "up", 60)
        board.process.send_signal(signal.SIGINT)
        assert board.wait() == 0, board.log()
        end = board.statuses()[-1]["streams"]["fast/Readings"]
    assert end["pending"] == 0 and end["dropped"] == 0
    (numbers,) = bench.counters("fast").values()
    assert numbers == list(range(end["captured"]))


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_a_board_that_was_offline_delivers_later_with_the_right_times(bench, runtime):
    start = time.time_ns()
    with _running(bench.board("--for", "2", cloud=False, runtime=runtime)) as board:
        assert board.wait() == 0, board.log()
        captured = board.statuses()[-1]["streams"]["fast/Readings"]["captured"]
        assert board.statuses()[-1]["streams"]["fast/Readings"]["durable"] == captured
    end = time.time_ns()
    bench.machine.write_text(json.dumps(_machine({})))
    bench.start_receiver()
    with _running(bench.board("--for", "1", runtime=runtime)) as board:
        assert board.wait() == 0, board.log()
    (numbers,) = bench.counters("fast").values()
    assert numbers == list(range(captured))
    times = [t for (t,) in bench.rows("SELECT time_ns FROM readings WHERE component = 'fast'")]
    assert start < min(times) and max(times) < end
    assert bench.rows("SELECT DISTINCT tags FROM readings") == [('["test"]',)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "https://127.0.0.1:1"}, "refused"),
        ({"ca": "other"}, "not signed by a trusted CA"),
        ({"url": "host name"}, "not for the name"),
        ({"secret": "wrong"}, "failed to authenticate"),
        ({"part": "nobody"}, "failed to authenticate"),
        ({"ca": "expired"}, "has expired"),
    ],
    ids=["unreachable", "wrong CA", "wrong host name", "wrong secret", "unknown part", "expired"],
)
def test_what_is_wrong_with_the_cloud_is_said_plainly_and_nothing_is_lost(bench, change, words):
    expired = change.get("ca") == "expired"
    if expired:
        change = {}
        bench.start_receiver("127.0.0.1:0", *_expired_certificate(bench.folder))
    else:
        bench.start_receiver()
    more = []
    if change.get("ca"):
        from cistern_tools import devca

        change = {"ca": devca.ensure(bench.folder / "other", []).ca}
    if change.get("url") == "host name":
        change = {}
        more = ["--server-name", "elsewhere.example"]
    if change.get("secret"):
        wrong = bench.folder / "wrong"
        wrong.write_text("not the secret")
        change = {"secret": wrong}
    with _running(bench.board(*more, **change)) as board:
        eventually(lambda: words in board.log(), 30)
        eventually(lambda: (board.stream("fast/Readings") or {}).get("durable", 0) > 20)
        assert board.statuses()[-1]["link"].startswith("down: ")
        assert SECRET not in board.log() and "not the secret" not in board.log()
        board.power_cut()
        durable = board.stream("fast/Readings")["durable"]
    if expired:
        bench.stop_receiver()
        bench.start_receiver()
    with _running(bench.board("--for", "1")) as board:
        assert board.wait() == 0, board.log()
    first, _ = bench.counters("fast").values()
    assert first == list(range(len(first))) and len(first) >= durable


def test_a_broken_configuration_is_located_and_the_last_good_one_runs(bench):
    with _running(bench.board("--for", "1", cloud=False)) as board:
        assert board.wait() == 0
    bench.machine.write_text('{"components": [\n  {"name": "x",, }\n]}')
    with _running(bench.board("--for", "1", cloud=False)) as board:
        assert board.wait() == 0
        assert f"{bench.machine}:2:16" in board.log()
        assert "last good configuration" in board.log()
        assert board.statuses()[-1]["streams"]["fast/Readings"]["captured"] > 10


def test_a_broken_first_configuration_ends_with_a_sentence(bench):
    bench.machine.write_text("{")
    with _running(bench.board("--for", "1", cloud=False)) as board:
        assert board.wait() == 2
        assert f"{bench.machine}:1:" in board.log() and "mend" in board.log()


def test_one_bad_entry_does_not_stop_the_others(bench):
    machine = _machine({"good": 20, "bad": 20})
    bad = machine["components"][1]
    bad["service_configs"][0]["attributes"]["capture_methods"][0]["capture_frequency_hz"] = -1
    machine["components"].append({"name": "odd", "type": "sensor", "model": "no-such"})
    bench.machine.write_text(json.dumps(machine))
    with _running(bench.board("--for", "1", cloud=False)) as board:
        assert board.wait() == 0
        assert "components[1].service_configs[0].attributes.capture_methods[0]" in board.log()
        assert "components[2].model" in board.log() and "no-such" in board.log()
        streams = board.statuses()[-1]["streams"]
    assert streams["good/Readings"]["captured"] >= 18
    assert "bad/Readings" not in streams


def test_a_flash_that_holds_something_else_is_refused_and_left_alone(bench):
    other = b"not a log of Cistern" * 60000
    bench.flash.write_bytes(other[: 1 << 20])
    with _running(bench.board("--for", "1", cloud=False)) as board:
        assert board.wait() == 2
        assert "cistern sim:" in board.log()
    assert bench.flash.read_bytes() == other[: 1 << 20]
