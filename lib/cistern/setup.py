"""What a board does with a configuration: at start, and whenever it changes.

Borrowed by the App: what it makes stays, this code does not.
"""

from cistern.app import App
from cistern.borrow import borrow
from cistern.capture.engine import Engine
from cistern.resources import own_models
from cistern.store import Log
from cistern.sync.clock import Clock

SECTOR = 4096
RAM_SECTORS = 8  # of 149 KB of heap with Wi-Fi up, 70 KB are code and 40 KB TLS
LEAST_SECTORS = 4  # that a log needs


def open_log(app, capture_dir):
    """Open the log: in files of capture_dir if that is not "", else on flash, else in RAM.

    What cannot be used is said and left alone, and the next one takes its place.
    """
    port = app.port
    app.problems.pop("log", None)
    if capture_dir:
        try:
            _mount(app, _folder(port, capture_dir))
            return
        except Exception as e:  # a filesystem may be anything
            _without(app, "capture_dir %s cannot have the log: %s" % (capture_dir, e), "elsewhere")
    why = "there is no flash for the log"
    if port.flash:
        try:
            _mount(app, port.flash)
            return
        except Exception as e:  # and so may what is on flash
            why = "the flash cannot have the log: %s" % e
    sectors = RAM_SECTORS
    while not app.log:
        try:
            _mount(app, _ram(app, sectors))
        except MemoryError:
            if sectors == LEAST_SECTORS:
                raise
            sectors = LEAST_SECTORS
    _without(app, why, "in %d KB of RAM, and a reset loses them" % (sectors * SECTOR // 1024))


def _folder(port, capture_dir):
    device = borrow("cistern.store.files").FileDevice(capture_dir)
    if device.made:
        port.log("warning", "capture_dir %s was not there and is made" % capture_dir)
    room = port.room(capture_dir, device.files * SECTOR)
    device.sectors = max(device.sectors, room // SECTOR)
    return device


def _ram(app, sectors):
    return borrow("cistern.store.ram").RamDevice(sectors, memory=app.memory)


def _mount(app, device):
    log = Log.mount(device, app.port.urandom)
    log.tell = app.port.log
    app.log = log
    app.clock = Clock(app.port, log)


def _without(app, why, where):
    text = "%s; readings are kept %s" % (why, where)
    app.problems["log"] = text
    app.port.log("error", text)


def open_early(app, machine):
    """Open the log before a plan is made, which leaves the heap in pieces; not where data may have
    to go to a folder, since the planner finds what is wrong with that.
    """
    try:
        folder = any(s["attributes"].get("capture_dir") for s in machine["services"])
    except (AttributeError, KeyError, TypeError):
        folder = True
    if app.log is None and not folder:
        open_log(app, "")


def prepare(app, plan):
    """What runs at first, and all settings of a plan but for its components and collectors."""
    for problem in plan.problems:
        app.port.log(problem.level, "%s: %s" % (problem.path, problem.message))
    service = plan.service
    if app.log is None:
        open_log(app, service.capture_dir)
    if app.engine is None:
        app.engine = Engine(app.port, app.log, memory=app.memory)
    app.log.delete_every_nth = service.delete_every_nth_when_disk_full
    app.engine.flush_us = service.flush_interval_ms * 1000
    app.pace = (
        int(service.cloud_poll_secs * 1000),
        0 if service.sync_disabled else service.sync_interval_ms,
        service.maximum_num_sync_threads,
        service.selective_syncer_name,
    )


def start(port, path="/machine.json", cloud=None):
    """The App of a board, ready to run what the file `path` says or the cloud did; None without a
    configuration that it can run.

    cloud: what App.connect_to() takes, () for none; without it the port's `setting`s say it.
    """
    app = App(port)
    try:
        cloud = _settings(port) if cloud is None else cloud
        if cloud:
            # First of all, so that the cloud hears of what follows.
            app.connect_to(*cloud)
    except (ValueError, MemoryError) as e:
        port.log("error", "no sync: %s" % (str(e) or "not enough memory"))
    trial = borrow("cistern.trial")
    trial.begin(app)
    trial.load_models(app)
    trial = None
    if own_models and port.reset_cause != "watchdog":
        borrow("cistern.resources.hung").forget(port)
    if not app.load(path):
        return None
    if getattr(port, "restarts", 0):
        port.count_restart(port, app.engine.collectors)
    return app


def _settings(port):
    setting = port.setting
    url = setting("cloud_url")
    if not url:
        return ()
    ca_file = next((f for f in ("/ca.der", "/ca.pem") if _is_there(f)), None)
    return [url, ca_file] + [setting(key) for key in ("server_name", "part_id", "secret")]


def _is_there(path):
    try:
        open(path, "rb").close()
        return True
    except OSError:
        return False
