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

        device = FileDevice(capture_dir, port.room(capture_dir) // SECTOR)
    elif device is None:
        from cistern.store.ram import RamDevice

        port.log("warning", "no flash for the log: a reset loses what is not synced")
        device = RamDevice(RAM_SECTORS)
    app.log = Log.mount(device, port.urandom)
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
    return kept or machine


def taken(port, text):
    """The dict of a configuration that is the last good one from now on. Raises ConfigError."""
    machine = load(text)
    port.save_state(MACHINE, text)
    return machine


def prepare(app, plan):
    """What runs at first, and all settings of a plan but for its components and collectors."""
    for problem in plan.problems:
        app.port.log(problem.level, "%s: %s" % (problem.path, problem.message))
    service = plan.service
    if app.log is None:
        open_log(app, service.capture_dir)
    if app.engine is None:
        app.engine = Engine(app.port, app.log)
    app.log.delete_every_nth = service.delete_every_nth_when_disk_full
    app.engine.flush_us = service.flush_interval_ms * 1000
    app.pace = (
        int(service.cloud_poll_secs * 1000),
        0 if service.sync_disabled else service.sync_interval_ms,
        service.maximum_num_sync_threads,
        service.selective_syncer_name,
    )


def start(port):
    """(App of a board as its `setting`s say, the text of its configuration)."""
    app = App(port)
    models = port.model_files()
    if models:
        from cistern.resources.own import load as load_models

        load_models(models, port.log)
    setting = port.setting
    url = setting("cloud_url")
    if url:
        ca = _read("/ca.der") or _read("/ca.pem")
        try:
            app.connect_to(url, ca, setting("server_name"), setting("part_id"), setting("secret"))
        except ValueError as e:
            port.log("error", "no sync: %s" % e)
    return app, _read("/machine.json", "r") or ""


def _read(path, mode="rb"):
    try:
        with open(path, mode) as f:
            return f.read()
    except OSError:
        return None
