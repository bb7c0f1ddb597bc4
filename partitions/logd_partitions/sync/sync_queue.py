"""Logs that are synced by one set of threads: one of the flusher's queues.

It works in rounds, as syncs that begin together join one commit of the file system's journal: 8,000
acknowledgements a second with 10 dirty logs, where threads that each go on for themselves reach
5,000. But a round waits only so long for its slowest: then the next begins without it, on the
threads that are left.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

Log = TypeVar("Log")

SYNCS_AT_ONCE_MAX = 8
"""Threads of a queue."""
LOGS_A_ROUND_MAX = 1000
"""More would hold up the loop at the start and end of a round; the rest is the next round's."""
SYNCFS_LOGS_MIN = 256
"""From so many logs on, one syncfs goes before: their own syncs then find little to do. Measured
with 1,000 files on ext4: 25 ms instead of 55."""
QUICK_SYNC_MS_MAX = 20
"""What takes longer is slow. Measured: under 1 ms for 64 KiB, 10 for 16 MiB."""


class SyncQueue(Generic[Log]):
    """On the loop. `sync_part(logs)` syncs some logs one after the other, `sync_file_system()` all
    that is dirty; neither raises. `again(log)` is told of each log that was added during its sync.
    """

    def __init__(
        self,
        sync_part: Callable[[Sequence[Log]], Awaitable[None]],
        sync_file_system: Callable[[], Awaitable[None]],
        again: Callable[[Log], None],
        start: Callable[[str, Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        """`start(name, work)` runs work in the background; all syncing ends if that fails."""
        self._start = start
        self._sync_part = sync_part
        self._sync_file_system = sync_file_system
        self._again = again
        self._waiting: dict[Log, None] = {}
        self._taken: dict[Log, bool] = {}  # into a round; whether it was added since
        self._rounds: asyncio.Task[None] | None = None
        self._parts: set[asyncio.Task[None]] = set()

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """None are left once nothing waits and all has been synced."""
        return self._parts if self._rounds is None else {self._rounds, *self._parts}

    def add(self, log: Log) -> None:
        """Sync the log in the next round; one that is being synced, after that."""
        if log in self._taken:
            self._taken[log] = True
            return
        self._waiting[log] = None
        if self._rounds is None:
            self._rounds = self._start("rounds of syncs", self._run_rounds())

    def clear(self) -> None:
        """Nobody waits any more."""
        self._waiting.clear()
        self._taken = dict.fromkeys(self._taken, False)

    async def _run_rounds(self) -> None:
        try:
            while self._waiting:
                if len(self._parts) < SYNCS_AT_ONCE_MAX:
                    await self._run_round()
                else:  # what waits now may be cleared meanwhile
                    await asyncio.wait(self._parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._rounds = None

    async def _run_round(self) -> None:
        threads = SYNCS_AT_ONCE_MAX - len(self._parts)
        # However few threads are free, each takes no more than it would of eight.
        share = -(-min(len(self._waiting), LOGS_A_ROUND_MAX) // SYNCS_AT_ONCE_MAX)
        logs = list(islice(self._waiting, share * threads))
        for log in logs:
            del self._waiting[log]
            self._taken[log] = False
        if len(logs) >= SYNCFS_LOGS_MIN:
            await self._sync_file_system()
        threads = min(threads, len(logs))
        parts = [self._begin(logs[thread::threads]) for thread in range(threads)]
        await asyncio.wait(parts, timeout=share * QUICK_SYNC_MS_MAX / 1000)

    def _begin(self, logs: Sequence[Log]) -> asyncio.Task[None]:
        task = self._start("syncs of some logs", self._run_part(logs))
        self._parts.add(task)
        return task

    async def _run_part(self, logs: Sequence[Log]) -> None:
        try:
            await self._sync_part(logs)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._parts.discard(task)
            again = [log for log in logs if self._taken.pop(log)]
        for log in again:
            self._again(log)
