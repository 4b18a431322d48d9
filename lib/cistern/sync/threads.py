"""Several uploads at once over one connection, each of another stream (maximum_num_sync_threads).

Brings what the link's round trips cost; each thread takes 4 KB of buffers, and as much again for
its call.
"""

import asyncio

from cistern.sync.uploader import Uploader

# 8 round trips at once keep a link busy whose round trip is 8 times the time that 32 KB take.
MAX_THREADS = 8


class _Thread(Uploader):
    """One of several uploaders of a log. busy: definitions of the streams under way. lock: of
    `main`, which finds out when boots were, for all.
    """

    def __init__(self, main, busy, lock):
        super().__init__(main.port, main.log, main.cloud, len(main.buffer), main.on_synced)
        self.turn = main.turn
        self.backoff = main.backoff
        self.doubts = main.doubts
        self._main = main
        self._busy = busy
        self._lock = lock
        self._mine = None

    async def start_of(self, boot):
        """As the main one's."""
        async with self._lock:
            return await self._main.start_of(boot)

    async def next(self, cursor, definition=None):
        """An upload begins with the oldest parcel of a stream that no other thread is sending."""
        if definition:
            return await super().next(cursor, definition)
        self._busy.discard(self._mine)
        ref = await super().next(cursor)
        while ref and ref.definition in self._busy:
            ref = await super().next(cursor)
        self._mine = ref and ref.definition
        self._busy.add(self._mine)
        return ref


async def _drain(thread, failed):
    try:
        await thread.drain()
    except Exception as e:
        failed.append(e)  # of several that fail together, nobody waits for the others


async def drain(main):
    """Send all that is unsent. Raises the first error; the other threads end with it."""
    busy = set()
    lock = asyncio.Lock()
    threads = []
    try:
        # A link that is too slow for a whole upload has no time for several.
        while len(threads) < min(main.threads, MAX_THREADS, main.backoff.most):
            threads.append(_Thread(main, busy, lock))
    except MemoryError:
        pass  # as many as there is room for
    if not threads:
        return await main.drain()
    if not main.cloud.ready():
        await main.cloud.login()  # once for all
    failed = []
    tasks = [asyncio.create_task(_drain(thread, failed)) for thread in threads]
    try:
        for task in tasks:
            await task
            if failed:
                raise failed[0]
    finally:
        for task in tasks:
            task.cancel()
        for thread in threads:
            main.set_aside += thread.set_aside
            if thread.synced_us is not None:
                main.synced_us = thread.synced_us
                main.link = "up"
