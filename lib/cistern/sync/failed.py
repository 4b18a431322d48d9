"""What becomes of a sync that failed; borrowed."""

from cistern.errors import LinkError
from cistern.sync.backoff import FIRST_MS, LONGEST_MS, OFFLINE_MS, UNAVAILABLE


def failed(uploader, error):
    """Note and say why; milliseconds until it is tried again."""
    if isinstance(error, MemoryError):
        error = LinkError("call", "not enough memory: %s" % error)
    elif not isinstance(error, LinkError):
        error = LinkError("call", "%s: %s" % (type(error).__name__, error))
    wait = pause_ms(uploader.backoff, error)
    uploader.error = str(error)
    uploader.link = "down: " + uploader.error
    report(uploader, uploader.error, wait)
    return wait


def pause_ms(backoff, error):
    """Milliseconds to wait after a LinkError."""
    if error.layer == "deadline":
        backoff.most = max(backoff.most // 2, 1)
    wait = min(backoff.wait_ms * 2, LONGEST_MS) or FIRST_MS
    if error.layer != "grpc":
        # Also keeps a long outage from counting against the server that ends it.
        wait = min(wait, OFFLINE_MS)
    elif error.status == UNAVAILABLE and backoff.wait_ms:
        wait = OFFLINE_MS
    backoff.wait_ms = wait
    # Three quarters to the whole of it, so that a fleet does not come back in step.
    return wait - wait * backoff.random() // 1024


def report(uploader, error, wait):
    """Say what is in the way of a sync, once."""
    if error != uploader.reported:
        uploader.reported = error
        text = "sync: %s; next try in %.1f s, capture goes on"
        uploader.port.log("warning", text % (error, wait / 1000))
