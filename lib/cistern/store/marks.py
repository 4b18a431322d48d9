"""Marks that a log's device does not take: flash that is worn, a filesystem that others filled."""

const = int  # MicroPython's compiler knows const() by its name

# Some 12 bytes each. Those of a sector go with it, and the oldest sectors go first.
_MOST = const(512)


def remember(log, ref, state):
    """Have a parcel marked until the next start. Raises MemoryError where too many are."""
    log.failures += 1
    if len(log.marks) >= _MOST:
        raise MemoryError("too many parcels were sent that the log cannot mark as sent")
    key = ref.sector << 12 | ref.index
    log.marks[key] = log.marks.get(key, 255) & state
    tell = log.tell
    log.tell = None
    if tell:
        text = (
            "the log cannot mark parcels that are done, %d.%d is the first: the next start may "
            "send them again; its filesystem is full, or its flash worn out"
        )
        tell("error", text % (ref.sector, ref.index))


def forget(log, sequence):
    """The sector is needed no more."""
    for key in [k for k in log.marks if k >> 12 == sequence]:
        del log.marks[key]
