"""Memory of the system that Python's heap must not take.

When Python's heap is full it doubles, and takes the largest piece that the system has, for good
(py/gc.c, gc_try_add_heap). What the network will need is therefore held: as the stacks of threads
that wait, since nothing else of MicroPython takes memory there and gives it back when told. It is
held in the pieces that will be needed, because after the first connection the system has as much
as before, but not in one piece.
"""

import _thread
import asyncio
import gc

_THREAD_END_MS = 50  # FreeRTOS' idle task frees the stacks of threads that have ended
_TURN_MS = 10  # its tick: until then a thread that may go on does


class Reserve:
    """Pieces of so many bytes each, held from the start, as far as they are there. A piece has 4
    KB at least, the smallest stack.
    """

    def __init__(self, *pieces):
        self._pieces = pieces
        self._lock = _thread.allocate_lock()
        self._lock.acquire()
        self._held = []
        self.hold()

    def hold(self):
        """Take what is not held."""
        gc.collect()  # what of it is garbage already
        for i, size in enumerate(self._pieces):
            if i not in self._held:
                _thread.stack_size(size)
                try:
                    _thread.start_new_thread(self._lock.acquire, ())
                    self._held.append(i)
                except (OSError, MemoryError):
                    pass  # smaller ones may be there
        _thread.stack_size(0)

    @property
    def held(self):
        """Bytes that are."""
        return sum([self._pieces[i] for i in self._held])

    async def release(self):
        """Let the system have it."""
        if self._held:
            while self._held:
                if self._lock.locked():
                    self._lock.release()  # one of the threads takes it, and ends
                    self._held.pop()
                await asyncio.sleep_ms(_TURN_MS)
            await asyncio.sleep_ms(_THREAD_END_MS)
