"""What a board does with a configuration: at start, and whenever it changes.

Borrowed by the App: what it makes stays, this code does not.
"""

from cistern.app import App
from cistern.borrow import borrow
from cistern.capture.engine import Engine
from cistern.config import ConfigError, load
from cistern.store import Log
from cistern.sync.clock import Clock

MACHINE = "machine.json"  # the last good configuration, under this name in the port's state
SECTOR = 4096
RAM_SECTORS = 8  # of 149 KB of heap with Wi-Fi up, 70 KB are code and 40 KB TLS


def open_log(app, capture_dir):
    """Open the log: in files of capture_dir if that is not "", else on flash, else in RAM.

    Raises StoreError where something else is found, and OSError where there is no such folder.
    """
    port = app.port
    device = port.flash
    if capture_dir:
        from cistern.store.files import FileDevice

        device = FileDevice(capture_dir)
        room = port.room(capture_dir, device.files * SECTOR)
        device.sectors = max(device.sectors, room // SECTOR)
    elif device is None:
        from cistern.store.ram import RamDevice

        port.log("warning", "no flash for the log: a reset loses what is not synced")
        device = RamDevice(RAM_SECTORS)
    app.log = Log.mount(device, port.urandom)
    app.log.tell = port.log
    app.clock = Clock(port, app.log)


def find(app, path, text):
    """The configuration to start with, see App.load(), or None."""
    port = app.port
    kept = None
    if app.cloud_at:
        app.revision, kept = borrow("cistern.cloud.kept").kept(port)
    try:
        machine = taken(port, text)
    except ConfigError as e:
        port.log("error", "%s:%d:%d: %s" % (path, e.line, e.column, e.message))
        text = port.load_state(MACHINE)
        if text is None and not app.cloud_at:
            port.log("error", "there is no earlier configuration to run; mend this one")
            return None
        what = "running the last good configuration"
        port.log("warning", what if text else "waiting for the cloud's configuration")
        machine = load(text or "{}")
    machine = kept or machine
    if app.log is None and not _names_folder(machine):
        # Before a plan is made, which leaves the heap in pieces.
        open_log(app, "")
    return machine


def _names_folder(machine):
    """Whether data may have to go to a folder; the planner finds what is wrong with it."""
    try:
        return any(s["attributes"].get("capture_dir") for s in machine["services"])
    except (AttributeError, KeyError, TypeError):
        return True


def taken(port, text):
    """The dict of a configuration that is the last good one from now on. Raises ConfigError."""
    machine = load(text)
    port.save_state(MACHINE, text if isinstance(text, str) else text.decode())
    return machine


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


def start(port):
    """The App of a board as its `setting`s and /machine.json say, ready to run; None without a
    configuration that it can run.
    """
    app = App(port)
    models = port.model_files()
    if models:
        from cistern.resources.own import load as load_models

        load_models(models, port.log)
    setting = port.setting
    url = setting("cloud_url")
    if url:
        ca_file = next((f for f in ("/ca.der", "/ca.pem") if _read(f)), None)
        try:
            more = [setting(key) for key in ("server_name", "part_id", "secret")]
            app.connect_to(url, ca_file, *more)
        except (ValueError, MemoryError) as e:
            port.log("error", "no sync: %s" % (str(e) or "not enough memory"))
    if not app.load("/machine.json", _read("/machine.json") or b""):
        return None
    if url:
        try:
            port.room_for_names()
        except MemoryError:
            pass  # they will want it later, or find none: whoever does says so
    if port.restarts:
        port.count_restart(port, app.engine.collectors)
    return app


def _read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return None
