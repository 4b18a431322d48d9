"""Memory of the system that Python's heap must not take.

When Python's heap is full it doubles, and takes the largest piece that the system has, for good
(py/gc.c, gc_try_add_heap). What the network will need is therefore held: as the stack of a thread
that waits, since nothing else of MicroPython takes memory there and gives it back when told.
"""

import _thread
import asyncio
import gc

_THREAD_END_MS = 50  # FreeRTOS' idle task frees the stack of a thread that has ended
_STEP = 2048


class Reserve:
    """`size` bytes, held from the start; less where there is not so much in one piece.

    whole: whether the last hold() got all of it.
    """

    def __init__(self, size):
        self._size = size
        self._lock = None
        self.hold()

    def hold(self):
        """Take it, again."""
        if self._lock:
            return
        gc.collect()  # what of it is garbage already
        lock = _thread.allocate_lock()
        lock.acquire()
        size = self._size
        self.whole = False
        while size > self._size // 2:
            _thread.stack_size(size)
            try:
                _thread.start_new_thread(lock.acquire, ())
                self._lock = lock
                self.whole = size == self._size
                break
            except OSError:
                size -= _STEP
        _thread.stack_size(0)

    async def release(self):
        """Let the system have it."""
        if self._lock:
            self._lock.release()
            self._lock = None
            await asyncio.sleep_ms(_THREAD_END_MS)
