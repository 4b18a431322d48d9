"""The simulated board's main program: what main.py is on a chip. Started by `cistern sim`."""

import asyncio
import gc
import json
import os
import sys


def read(path):
    """The text of a file."""
    with open(path) as f:
        return f.read()


def main(settings):
    """Run the board until its time is over or Ctrl-C; the exit status, or None after a reset."""
    from cistern.app import App
    from cistern.borrow import place_with
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
        app = App(port)
        port.models_folder = settings["models"]
        models = port.model_files()
        if models:
            from cistern.resources.own import load

            load(models, port.log)
        cloud = settings.get("cloud")
        if cloud:
            secret = read(cloud["secret_file"]).strip()
            more = cloud["server_name"], cloud["part_id"], secret
            app.connect_to(cloud["url"], cloud["ca"], *more)
        if not app.load(settings["machine"], read(settings["machine"])):
            return 2
    except (CisternError, ValueError, OSError) as e:
        print("cistern sim: %s" % e, file=sys.stderr)
        return 2
    report = (lambda status: print(json.dumps(status))) if settings["json"] else None
    try:
        asyncio.run(app.run(settings["seconds"], report))
    except SystemExit:
        # A reset: nothing of this start is left but the flash.
        for name in list(sys.modules):
            if name.startswith("cistern") or name not in known:
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


# Modules of Cistern are named in several ways; what CPython itself loads stays.
known = sys.modules if sys.implementation.name == "cpython" else list(sys.modules)
status = None
while status is None:
    gc.collect()
    status = main(json.loads(os.getenv("CISTERN_SIM")))
sys.exit(status)
