"""RAM of a plain ESP32 as its system has it: pieces in regions, of which Python's heap takes more
when it is full, for good, the network what it needs, and threads their stacks.

Sizes are those of stock v1.25.0 (docs/DESIGN.md, "Memory of a plain ESP32").
"""

import gc as _gc

# What the system has once Python's first heap and Wi-Fi have theirs: (address, bytes).
REGIONS = ((0x3FFB0000, 42000), (0x3FFE0440, 15072), (0x3FFE4350, 34000))
_FIRST_HEAP = 65536
# Code and buffers that lie beside the heap on a chip, and in it here.
_BESIDE = 38000
_ALIGN = 16
_LEAST_GROWTH = 2064  # gc_try_add_heap(): what failed, and 2048
_TCB = 360
_LEAST_STACK = 4096


class Pool:
    """Pieces of memory; the smallest that is large enough is given."""

    def __init__(self, regions=REGIONS):
        self.regions = regions
        self._free = [list(r) for r in regions]
        self._taken = {}

    def take(self, size):
        """An address, or None where no piece is so large."""
        size = size + _ALIGN - 1 & -_ALIGN
        fitting = [(f[1], f) for f in self._free if f[1] >= size]
        if not fitting:
            return None
        piece = min(fitting)[1]
        at = piece[0]
        piece[0] += size
        piece[1] -= size
        if not piece[1]:
            self._free.remove(piece)
        self._taken[at] = size
        return at

    def give(self, at):
        """Back, and one with its neighbours."""
        size = self._taken.pop(at)
        for piece in list(self._free):
            if piece[0] == at + size:
                size += piece[1]
                self._free.remove(piece)
            elif piece[0] + piece[1] == at:
                at = piece[0]
                size += piece[1]
                self._free.remove(piece)
        self._free.append([at, size])

    @property
    def largest(self):
        """Bytes of the largest piece."""
        return max([f[1] for f in self._free] or [0])

    @property
    def free(self):
        """Bytes of all."""
        return sum([f[1] for f in self._free])

    def info(self):
        """As esp32.idf_heap_info()."""
        rows = []
        for start, size in self.regions:
            pieces = [f[1] for f in self._free if start <= f[0] < start + size]
            rows.append((size, sum(pieces), max(pieces or [0]), 0))
        return rows


pool = Pool()
_heap = {"size": _FIRST_HEAP, "base": None}


def begin():
    """What Python has taken by now is the stand-in's own."""
    _gc.collect()
    _heap["base"] = _gc.mem_alloc()


def _used():
    # Words are twice as wide here.
    return (_gc.mem_alloc() - _heap["base"]) // 2


def look():
    """Have Python's heap grow where it is full, as on a chip, which does when something fails."""
    if _heap["base"] is None:
        return
    while _used() > _heap["size"] + _BESIDE:
        _gc.collect()
        if _used() <= _heap["size"] + _BESIDE:
            return
        size = min(pool.largest, _heap["size"])
        if size < _LEAST_GROWTH:
            return
        pool.take(size)
        _heap["size"] += size


def heap_size():
    """Bytes of Python's heap."""
    return _heap["size"]


def heap_free():
    """Bytes free in it."""
    return max(_heap["size"] + _BESIDE - _used(), 0)


def mem_free():
    """gc.mem_free(): with what the heap could take of the system."""
    return heap_free() + pool.largest


class WaitsError(Exception):
    """A thread waits for a lock."""


class Lock:
    """Of _thread: one of those that wait gets it when it is released."""

    def __init__(self):
        self._locked = False
        self._waiting = []

    def acquire(self, waitflag=1, timeout=-1):
        """Only a thread may have to wait."""
        if not self._locked:
            self._locked = True
            return True
        if not waitflag:
            return False
        if _stack[0] is None:
            raise RuntimeError("the program waits for ever")
        self._waiting.append(_stack[0])
        raise WaitsError

    def release(self):
        """One of those that wait has it, and goes on to its end."""
        if not self._locked:
            raise RuntimeError
        if self._waiting:
            pool.give(self._waiting.pop(0))
        else:
            self._locked = False

    def locked(self):
        """Whether somebody has it."""
        return self._locked


_size = [0]
_stack = [None]


def stack_size(size=0):
    """Of the threads that are started from here on; 0 is the default."""
    _size[0] = size


def start_new_thread(function, args, kwargs=None):
    """It runs up to where it waits. Its stack is the system's until it ends."""
    look()
    size = max(_size[0] or _LEAST_STACK + 1024, _LEAST_STACK)
    at = pool.take(size + _TCB)
    if at is None:
        raise OSError("can't create thread")
    _stack[0] = at
    try:
        function(*args)
    except WaitsError:
        return
    finally:
        _stack[0] = None
    pool.give(at)


class Threads:
    """_thread, as far as a program may use it here."""

    allocate_lock = Lock
    stack_size = staticmethod(stack_size)
    start_new_thread = staticmethod(start_new_thread)


def threshold(amount=-1):
    """Nothing: the heap here is so large that collecting it so often would take all the time."""


GC_INSTEAD = {"mem_free": mem_free, "threshold": threshold}
