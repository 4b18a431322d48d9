"""Cistern on a board. main.py calls start(); on the REPL, Ctrl-C stops it, then:

>>> import cistern
>>> cistern.status()
>>> cistern.sync()
>>> cistern.erase_log()
>>> cistern.start()
"""

try:
    # A package whose name here is sync()'s: it is loaded before, and never bound again.
    import cistern.sync  # noqa: F401
except ImportError:
    pass  # on a chip its modules are in none

_begun = False
_port = _app = None


def start():
    """Run what /machine.json says, until Ctrl-C; after that by a start of the chip."""
    global _begun, _port, _app
    import asyncio

    if _begun:
        # What ran left the heap in pieces, and what the network needs in use, also where Ctrl-C
        # ended it before it was complete.
        import machine

        print("the board starts anew")
        machine.reset()
    _begun = True
    # Before the rest, which must not take the memory that Wi-Fi needs.
    from cistern.port.esp32 import Port

    _port = Port()
    _port.log("info", "start after " + _port.reset_cause)
    try:
        from cistern.borrow import borrow, place_with

        if _port.spare:
            place_with(_port.spare.put)
        _app = borrow("cistern.setup").start(_port)
        if _app:
            asyncio.run(_app.run(0, None))
    except KeyboardInterrupt:
        pass
    except Exception as e:  # whatever it is, a board must not stay silent
        _port.log_exception(e)
        _port.log("error", "the board restarts in a minute; cistern.stop() keeps it here")
        return
    stop()


def stop():
    """Make all readings durable and leave the board at the REPL, for a day at most."""
    import asyncio

    if _app:
        _app.stop()
    if _port:
        _port.leave()
    # What was under way ends here; the next start begins anew.
    asyncio.new_event_loop()


def status():
    """Counts of each stream, link and heap, as App.status() has them; None before the start."""
    return _app and _app.status()


def attach(app):
    """Have status() and sync() speak of an App that another program than start() runs."""
    global _app
    _app = app


def sync():
    """Sync all that is captured now, also where sync is disabled. A program that runs does it; on
    the REPL, where it was stopped, it starts again for it. In the end it logs "sync now: …".
    """
    from cistern.borrow import borrow

    borrow("cistern.sync.asked").ask(_app, start)


def erase_log():
    """Erase the log on flash, with all readings that are in it; start() begins a new one.

    For a board that is stopped. StoreError where it has no partition for a log.
    """
    import os

    from cistern.borrow import borrow
    from cistern.port.esp32 import log_partition

    borrow("cistern.store.erase").erase(log_partition(), os.urandom)
