"""Log lines that the cloud refuses: they are sent one by one, and what it refuses of them is left
out. Borrowed.
"""

from cistern.cloud.verdict import BAD, DOUBT, of
from cistern.errors import GrpcError

_MOST = 4  # lines refused alone before any is taken: the cloud fails everything


async def singly(send, lines, error):
    """The lines that need not be sent any more, of those that had `error` together.

    send(lines) sends some. Raises the error where it is not for the lines, as far as one can tell:
    a cloud that takes none may be failing.
    """
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
