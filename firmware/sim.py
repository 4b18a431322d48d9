"""The simulated board's main program: what main.py is on a chip. Started by `cistern sim`."""

import asyncio
import gc
import json
import os
import sys
import time

SIGINT = 2
LOOK_S = 0.1  # how often Ctrl-C is looked for


def read(path):
    """The bytes of a file."""
    with open(path, "rb") as f:
        return f.read()


def prepared(settings):
    """The App of a board with these settings, ready to run, or the exit status of one that is
    not.
    """
    import cistern
    from cistern.borrow import borrow, place_with
    from cistern.errors import CisternError

    if sys.implementation.name == "micropython":
        from cistern.port.unix import Port
    else:
        from cistern.port.host import Port

    flash = settings["flash"]
    try:
        port = Port(flash, settings["flash_size"], flash, settings["log_level"])
        if hasattr(port, "spare"):
            place_with(port.spare.put)
        port.models_folder = settings["models"]
        cloud = settings.get("cloud") or ()
        if cloud:
            # `cistern sim` has looked at it: a line of UTF-8, maybe with a byte order mark.
            secret = read(cloud["secret_file"]).decode().replace("\ufeff", "").strip()
            cloud = cloud["url"], cloud["ca"], cloud["server_name"], cloud["part_id"], secret
        app = borrow("cistern.setup").start(port, settings["machine"], cloud)
        if app:
            cistern.attach(app)
            return app
    except (CisternError, ValueError, OSError) as e:
        print("cistern sim: %s" % e, file=sys.stderr)
    except MemoryError:
        text = "cistern sim: the heap is too small for this machine: give a larger --heap"
        print(text, file=sys.stderr)
    return 2


def guarded(status):
    """It, or None where there is no memory to tell it, which must not end the board."""

    def told():
        try:
            return status()
        except MemoryError:
            gc.collect()
            print("cistern sim: no memory for a status", file=sys.stderr)
            return None

    return told


def show(status):
    """A line of JSON."""
    if status:
        try:
            text = json.dumps(status)
        except MemoryError:
            print("cistern sim: no memory for a status", file=sys.stderr)
            return
        print(text)


def trial(app):
    """What there is memory for: {"collectors": their names, "online": whether for what syncs, and
    "live": bytes of the heap that are in use then}.
    """
    online = bool(app.cloud_at) and app.go_online()
    gc.collect()
    names = [c.name for c in app.engine.collectors]
    return {"collectors": names, "online": online, "live": gc.mem_alloc()}


def interrupted():
    """Whether somebody pressed Ctrl-C: a SIGINT waits, which `cistern sim` has blocked.

    MicroPython for PCs takes a signal wherever it is, and in the middle of a garbage collection
    that breaks the heap. man 5 proc_pid_status: ShdPnd is the mask of the signals that wait.
    """
    with open("/proc/self/status") as f:
        text = f.read()
    at = text.find("ShdPnd:") + 7
    return bool(int(text[at : text.find("\n", at)], 16) >> SIGINT - 1 & 1)


def await_signal(app):
    """Have CPython's first Ctrl-C end the board's run; a second one interrupts what it is at."""
    import signal

    def end(*_):
        app.end_us = 1
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, end)


async def watch(app):
    """End the board's run when somebody presses Ctrl-C."""
    while app.end_us != 1:
        try:
            if interrupted():
                app.end_us = 1
        except MemoryError:
            pass  # the next time
        await asyncio.sleep(LOOK_S)


async def run(app, settings, report):
    """App.run(), until its time is over or Ctrl-C."""
    if settings.get("blocked"):
        app.watching = asyncio.create_task(watch(app))
    elif sys.implementation.name == "cpython":
        await_signal(app)
    await app.run(settings["seconds"], report)


def main(settings):
    """Run the board until its time is over or Ctrl-C; the exit status, or None after a reset."""
    app = prepared(settings)
    if isinstance(app, int):
        return app
    if settings["seconds"] is None:
        print(json.dumps(trial(app)))
        return 0
    app.status = guarded(app.status)
    report = show if settings["json"] else None
    try:
        asyncio.run(run(app, settings, report))
    except SystemExit:
        # A reset: nothing of this start is left but the flash.
        from cistern.shelf import FOLDER

        if FOLDER in sys.path:
            import vfs

            sys.path.remove(FOLDER)
            vfs.umount(FOLDER)
        models = settings["models"] or " "
        for name in list(sys.modules):
            file = str(getattr(sys.modules[name], "__file__", ""))
            if name.startswith("cistern") or name not in known or file.startswith(models):
                del sys.modules[name]
        asyncio.new_event_loop()
        if hasattr(asyncio, "core"):
            asyncio.core.cur_task = None  # it was App.run(), with all that it holds
        return None
    except KeyboardInterrupt:
        # The interrupt ended the loop wherever it was; what is left to do runs in a loop of its
        # own.
        asyncio.new_event_loop()
        asyncio.run(app.finish(report))
    return 0


def start(after_s):
    """A start of the board, so long after the first: see main()."""
    settings = json.loads(os.getenv("CISTERN_SIM"))
    if settings["seconds"]:
        settings["seconds"] -= after_s
    return main(settings)


# Modules of Cistern are named in several ways; what CPython itself loads stays.
known = sys.modules if sys.implementation.name == "cpython" else list(sys.modules)
status = None
begin = time.time()
try:
    while status is None:
        gc.collect()
        status = start(time.time() - begin)
except MemoryError as e:
    text = "cistern sim: no memory, the board stops (%s): give a larger --heap" % e
    print(text, file=sys.stderr)
    status = 2
sys.exit(status)
