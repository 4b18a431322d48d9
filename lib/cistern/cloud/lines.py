"""Log lines on their way to the cloud. Borrowed.

Those that the cloud refuses are sent one by one, and what it refuses of them is left out.
"""

from cistern.borrow import borrow
from cistern.cloud.protobuf import Writer
from cistern.cloud.verdict import BAD, DOUBT
from cistern.errors import GrpcError

_MOST = 4  # lines refused alone before any is taken: the cloud fails everything


async def send(robot):
    """Send the lines that wait, and what was lost, once the board knows the time."""
    app = robot.app
    log, journal = app.log, app.journal
    anchor = log.anchors().get(log.boot)
    if not anchor:
        return

    async def call(lines):
        w = Writer()
        for at, level, text, count in reversed(lines):
            n = w.n
            w.field(5, text if count == 1 else "%s (%d times)" % (text, count))
            w.field(4, "cistern")
            k = w.n
            w.timestamp(anchor[1] + at - anchor[0])
            w.head(3, k)
            w.field(2, level)
            w.head(2, n)
        await robot.call("Log", w)

    sent = [line[:] for line in journal.lines]
    if sent:
        try:
            await call(sent)
        except GrpcError as e:
            sent = await singly(call, sent, e)
        journal.lines = [line for line in journal.lines if line not in sent]
    if app.losses_due:
        await borrow("cistern.losses").send(app, anchor)


async def singly(send, lines, error):
    """The lines that need not be sent any more, of those that had `error` together.

    send(lines) sends some. Raises the error where it is not for the lines, as far as one can tell:
    a cloud that takes none may be failing.
    """
    of = borrow("cistern.cloud.verdict").of
    if of(error) < DOUBT:
        raise error
    done = []
    doubtful = []
    for line in lines if len(lines) > 1 else ():
        try:
            await send([line])
            done.append(line)
        except GrpcError as e:
            if of(e) < DOUBT:
                break
            (done if of(e) == BAD else doubtful).append(line)
            if not done and len(doubtful) == _MOST:
                break
    if len(lines) == 1 and of(error) == BAD:
        return lines
    if not done:
        raise error
    return done + doubtful
