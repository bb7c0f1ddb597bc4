"""Group commit: makes appended bytes durable, many partitions at a time.

A dirty log is synced with all others that are dirty then, on the flush pool. It is published as
synced when its own files are, and when the directory holds what a start needs to find its first
append of the run. What is appended meanwhile is left to the log's next sync: so a lone append waits
for one sync, and under load each sync carries all that came during the last. Nothing polls; a timer
runs only while there is something to do.

The sync of one log may take long: it has much to write, or its disk is in trouble. So that the
others do not wait for it, there are two queues with as many threads each: one for logs whose last
sync was quick, and one for those whose was not, or that have had none.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

import structlog

from logd.model.errors import LogdError, SyncFailed
from logd.model.seams import Clock, Offload
from logd.system.background_tasks import BackgroundTasks
from logd_partitions.core.disk_errors import passes
from logd_partitions.sync.sync_queue import QUICK_SYNC_MS_MAX, SYNCS_AT_ONCE_MAX, SyncQueue

logger = structlog.get_logger()

FLUSH_THREADS = 2 * SYNCS_AT_ONCE_MAX + 2
"""What the pool needs: two queues, the directory's sync and the recovery points."""
PAGE_CACHE_UNSYNCED_BYTES_MAX = 32 << 20
"""A page_cache topic's partition is synced when it has so much unsynced..."""
PAGE_CACHE_SYNC_INTERVAL_S = 3.0
"""...or when this has passed: what the machine may lose with its power."""
POINTS_INTERVAL_S = 1.0
"""Recovery points are rewritten at most so often."""
RETRY_S = 1.0
"""How long until a sync is tried again that could not begin: the disk is full, or the process has
no descriptor or memory to spare."""


class SyncedLog(Protocol):
    """What the flusher needs of a PartitionLog. On the loop."""

    @property
    def awaits_sync(self) -> bool:
        """Whether somebody may wait for a sync."""
        ...

    @property
    def unsynced_bytes(self) -> int: ...

    @property
    def closed(self) -> bool:
        """A closed log has synced itself or is being deleted: it is left alone."""
        ...

    def start_sync(self) -> Any:
        """A snapshot of what there is to sync: its `run()` blocks, on any thread, and may raise."""
        ...

    def finish_sync(self, ticket: Any) -> None: ...


Log = TypeVar("Log", bound=SyncedLog)


Log_contra = TypeVar("Log_contra", bound=SyncedLog, contravariant=True)


class FlushDirectory(Protocol[Log_contra]):
    """What the flusher needs of a LogDirectory."""

    @property
    def needs_sync(self) -> bool: ...

    def is_unsynced(self, log: Log_contra) -> bool:
        """Whether a start might not find the log's appends, until `sync` has succeeded."""
        ...

    def sync(self) -> None: ...

    def sync_file_system(self) -> None: ...

    def note_synced(self, log: Log_contra) -> None: ...

    def collect_points(self) -> bool: ...

    def write_points(self) -> None: ...

    def mark_failed(self, error: Exception) -> None: ...


class Flusher(Generic[Log]):
    """An asyncio shell; every method on the loop.

    `on_synced(log)` after each log's synced end has moved. After a failed sync `on_failed` is
    called once, nothing is tried again or acknowledged, and what is marked dirty later is ignored:
    its appends were refused. A failed sync may have dropped the dirty pages, so a second one that
    succeeds proves nothing. What could not even begin for want of something is another thing: it
    waits, unacknowledged, and is tried again.
    """

    def __init__(
        self,
        offload: Offload,
        directory: FlushDirectory[Log],
        clock: Clock,
        tasks: BackgroundTasks,
        *,
        on_synced: Callable[[Log], None],
        on_failed: Callable[[LogdError], None],
    ) -> None:
        self._offload = offload
        self._tasks = tasks
        self._directory = directory
        self._clock = clock
        self._on_synced = on_synced
        self._on_failed = on_failed
        self._lazy: dict[Log, None] = {}
        self._quick, self._slow = (
            SyncQueue[Log](self._sync_part, self._sync_file_system, self._enqueue, self._start)
            for _ in range(2)
        )
        self._again: dict[Log, None] = {}  # their syncs could not begin
        self._retries: asyncio.Task[None] | None = None
        self._known_quick: WeakSet[Log] = WeakSet()
        self._held: list[tuple[Log, Any]] = []  # synced, and the directory is not yet
        self._directory_sync: asyncio.Task[None] | None = None
        self._points: asyncio.Task[None] | None = None
        self._lazy_timer: asyncio.TimerHandle | None = None
        self._broken = False  # set by the thread that finds out, before another's sync can count
        self._failed = False
        self._closing = False

    def mark_dirty(self, log: Log) -> None:
        """The log has been appended to. Sync it at once, or in a while if nobody waits for it."""
        if self._broken:
            return
        # In a page_cache topic nobody does, but for the first append of a run, which waits until a
        # start would find it.
        if not log.awaits_sync:
            if log.unsynced_bytes < PAGE_CACHE_UNSYNCED_BYTES_MAX:
                self._lazy[log] = None
                self._arm_lazy_timer()
                return
        self._lazy.pop(log, None)
        self._enqueue(log)

    async def sync_all(self) -> None:
        """Return when all that was dirty at the call is synced, or a sync has failed."""
        self._sync_lazy()
        while tasks := {
            *self._quick.tasks,
            *self._slow.tasks,
            *filter(None, [self._directory_sync, self._retries]),
        }:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Sync all, then stop. What cannot be synced now, as on a full disk, fails."""
        self._closing = True
        await self.sync_all()
        if self._lazy_timer is not None:
            self._lazy_timer.cancel()
            self._lazy_timer = None
        if self._points is not None:
            self._points.cancel()
            await asyncio.wait([self._points])

    def _arm_lazy_timer(self) -> None:
        if self._lazy_timer is None:
            loop = asyncio.get_running_loop()
            self._lazy_timer = loop.call_later(PAGE_CACHE_SYNC_INTERVAL_S, self._sync_lazy)

    def _sync_lazy(self) -> None:
        if self._lazy_timer is not None:
            self._lazy_timer.cancel()
            self._lazy_timer = None
        lazy, self._lazy = self._lazy, {}
        for log in lazy:
            self._enqueue(log)

    def _enqueue(self, log: Log) -> None:
        (self._quick if log in self._known_quick else self._slow).add(log)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._tasks.start(name, work, self._fail)

    async def _sync_file_system(self) -> None:
        try:
            await self._offload.run(self._directory.sync_file_system)
        except Exception as error:
            if not passes(error):  # else the logs' own syncs have more to do
                self._fail(error)

    async def _sync_part(self, logs: Sequence[Log]) -> None:
        """Sync some logs one after the other on one thread, and publish them.

        Any exception stops all syncing: acknowledging without knowing why would be worse.
        """
        if self._broken:
            return
        try:
            tickets = [(log, log.start_sync()) for log in logs if not log.closed]
            if self._directory.needs_sync and self._directory_sync is None:
                self._directory_sync = self._start("sync of a directory", self._sync_directory())
            quick = await self._offload.run(partial(self._run_tickets, tickets))
            for (log, ticket), is_quick in zip(tickets, quick, strict=True):
                (self._known_quick.add if is_quick else self._known_quick.discard)(log)
                if is_quick is None:
                    self._try_again(log)
                elif self._directory.is_unsynced(log):
                    self._held.append((log, ticket))
                else:
                    self._publish(log, ticket)
        except Exception as error:
            self._fail(error)

    def _run_tickets(self, tickets: Sequence[tuple[Log, Any]]) -> list[bool | None]:
        """On a thread. Whether each was quick; None: it could not begin, and may later."""
        quick: list[bool | None] = []
        for log, ticket in tickets:
            begin_ms = self._clock.monotonic_ms()
            try:
                ticket.run()
            except (OSError, LogdError) as error:
                # The files of a log that was closed meanwhile may be gone: that is no failed sync.
                if not log.closed:
                    if not self._may_wait(error):
                        self._broken = True
                        raise
                    quick.append(None)
                    continue
            quick.append(self._clock.monotonic_ms() - begin_ms <= QUICK_SYNC_MS_MAX)
        return quick

    def _may_wait(self, error: Exception) -> bool:
        """Whether it is sound, and there is time, to try again what failed so."""
        if self._closing or not passes(error):
            return False
        logger.warning("a sync could not begin: appends wait", error=str(error))
        return True

    def _try_again(self, log: Log) -> None:
        self._again[log] = None
        if self._retries is None:
            self._retries = self._start("syncs tried again", self._retry())

    async def _retry(self) -> None:
        try:
            await asyncio.sleep(RETRY_S)
        finally:
            self._retries = None
        again, self._again = self._again, {}
        for log in again:
            self._enqueue(log)

    async def _sync_directory(self) -> None:
        """Until all is synced that it has noted; then publish the logs that waited for that."""
        try:
            while self._directory.needs_sync and not self._broken:
                try:
                    await self._offload.run(self._directory.sync)
                except OSError as error:
                    if not self._may_wait(error):
                        raise
                    await asyncio.sleep(RETRY_S)
                held, self._held = self._held, []
                for log, ticket in held:
                    if self._directory.is_unsynced(log):
                        self._held.append((log, ticket))
                    else:
                        self._publish(log, ticket)
        except Exception as error:
            self._fail(error)
        finally:
            self._directory_sync = None

    def _publish(self, log: Log, ticket: Any) -> None:
        if self._broken or log.closed:
            return
        log.finish_sync(ticket)
        self._directory.note_synced(log)
        if self._points is None:
            # Where that ends, nobody waits: the next sync begins it anew.
            self._points = self._tasks.start(
                "recovery points", self._rewrite_points(), lambda error: None
            )
        try:
            self._on_synced(log)
        except Exception:  # a fault of who waits must not stop the others' syncs
            logger.exception("waking those who wait for a sync failed")

    async def _rewrite_points(self) -> None:
        """Let recovery points follow the synced ends, as long as these move."""
        try:
            while True:
                await asyncio.sleep(POINTS_INTERVAL_S)
                if self._broken or not self._directory.collect_points():
                    return
                await self._write_points()
        finally:
            self._points = None

    async def _write_points(self) -> None:
        try:
            await self._offload.run(self._directory.write_points)
        except OSError as error:  # the old points hold: a start only has to read more
            logger.warning("recovery points not rewritten", error=str(error))

    def _fail(self, error: Exception) -> None:
        self._broken = True
        if self._failed:
            return
        self._failed = True
        for waiting in (self._lazy, self._again, self._quick, self._slow, self._held):
            waiting.clear()
        logger.error("a sync failed", error=str(error), exc_info=error)
        self._directory.mark_failed(error)
        self._on_failed(
            SyncFailed(f"the disk failed to sync ({error}): whether the append was kept is unknown")
        )
