"""What becomes of a sync that failed; borrowed."""

from cistern.errors import LinkError


def failed(uploader, error):
    """Note and say why; milliseconds until it is tried again."""
    if isinstance(error, MemoryError):
        error = LinkError("call", "not enough memory: %s" % error)
    elif not isinstance(error, LinkError):
        error = LinkError("call", "%s: %s" % (type(error).__name__, error))
    wait = uploader.backoff.failed(error)
    uploader.error = str(error)
    uploader.link = "down: " + uploader.error
    report(uploader, uploader.error, wait)
    return wait


def report(uploader, error, wait):
    """Say what is in the way of a sync, once."""
    if error != uploader.reported:
        uploader.reported = error
        text = "sync: %s; next try in %.1f s, capture goes on"
        uploader.port.log("warning", text % (error, wait / 1000))
