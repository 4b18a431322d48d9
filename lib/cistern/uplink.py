"""A fresh connection to the cloud, and what sends through it.

Borrowed by the App, for the code that syncs to be loaded by it: that stays.
"""

from cistern.borrow import borrow
from cistern.capture.engine import MAX_PARCEL
from cistern.cloud.client import Cloud
from cistern.cloud.robot import Robot
from cistern.net.channel import Channel
from cistern.sync.polite import connector
from cistern.sync.uploader import Uploader


def make(app):
    """Give the App its cloud, uploader and robot. MemoryError: all is as it was before."""
    taken = []

    def memory(size):
        taken.append(app.memory(size))
        return taken[-1]

    try:
        _make(app, memory)
    except MemoryError:
        spare = getattr(app.port, "spare", None)
        for buf in taken if spare else ():
            spare.give(buf)
        raise


def _make(app, memory):
    host, port, tls, authority, scheme, part_id, secret = app.cloud_at
    connect = connector(app.port, host, port, tls, app.engine.quiet)
    channel = Channel(connect, authority, scheme, memory=memory, **app.port.channel)
    app.cloud = Cloud(channel, part_id, secret, app.clock.on_date)
    app.uploader = Uploader(app.port, app.log, app.cloud, MAX_PARCEL, app.count_synced, memory)
    app.uploader.turn = app.engine.quiet
    app.uploader.before = app.engine.settle
    app.robot = Robot(app)
    borrow("cistern.online").tune(app)
    if app.port.load_state("sync"):
        borrow("cistern.sync.asked").begin(app)
