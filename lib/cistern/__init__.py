"""Cistern on a board. main.py calls start(); on the REPL, Ctrl-C stops it, then:

>>> import cistern
>>> cistern.status()
>>> cistern.start()
"""

_port = _app = None


def start():
    """Run what /machine.json says, until Ctrl-C."""
    global _port, _app
    import asyncio

    # Before the rest, which must not take the memory that Wi-Fi needs.
    from cistern.port.esp32 import Port

    _port = Port()
    _port.log("info", "start after " + _port.reset_cause)
    try:
        _app = _made()
        if _app:
            asyncio.run(_app.run(0, None))
    except KeyboardInterrupt:
        pass
    except Exception as e:  # whatever it is, a board must not stay silent
        _port.log_exception(e)
        _port.log("error", "the board restarts in a minute; cistern.stop() keeps it here")
        return
    stop()


def _made():
    from cistern.app import App

    app = App(_port)
    models = _port.model_files()
    if models:
        from cistern.resources.own import load

        load(models, _port.log)
    setting = _port.setting
    url = setting("cloud_url")
    if url:
        ca = _read("/ca.der") or _read("/ca.pem")
        try:
            app.connect_to(url, ca, setting("server_name"), setting("part_id"), setting("secret"))
        except ValueError as e:
            _port.log("error", "no sync: %s" % e)
    if not app.load("/machine.json", _read("/machine.json", "r") or ""):
        return None
    return app


def _read(path, mode="rb"):
    try:
        with open(path, mode) as f:
            return f.read()
    except OSError:
        return None


def stop():
    """Make all readings durable and leave the board at the REPL, for a day at most."""
    import asyncio

    if _app:
        _app.engine.stop()
        if not _app.engine.flush():
            _port.log("error", "the flash log took not all readings; those in RAM are lost")
    if _port:
        _port.leave()
    # What was under way ends here; the next start begins anew.
    asyncio.new_event_loop()


def status():
    """Counts of each stream, link and heap, as App.status() has them; None before the start."""
    return _app and _app.status()
