"""Group commit: makes appended bytes durable, many partitions at a time.

A round snapshots the ends of all dirty logs, syncs their files side by side on the flush pool, and
publishes the snapshot as synced. What is appended meanwhile belongs to the next round, which
starts when this one ends: so a lone append waits for one sync, and under load each sync carries
all that came during the last. Nothing polls; a timer runs only while there is something to do.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import structlog

from logd.model.errors import LogdError, SyncFailed
from logd.model.ids import Offset
from logd.model.seams import Offload
from logd_partitions.disk_errors import is_full

logger = structlog.get_logger()

SYNCS_AT_ONCE_MAX = 8
"""Files synced side by side: concurrent syncs join one commit of the file system's journal."""
SYNCFS_FILES_MIN = 256
"""From this many dirty files on, one syncfs goes before: their own syncs then find little to do.
Measured with 1,000 files on ext4: 25 ms instead of 55."""
LOGS_A_ROUND_MAX = 1000
"""More would hold up the loop at the start and end of a round; the rest is the next round's."""
PAGE_CACHE_UNSYNCED_BYTES_MAX = 32 << 20
"""A page_cache topic's partition is synced when it has so much unsynced..."""
PAGE_CACHE_SYNC_INTERVAL_S = 3.0
"""...or when this has passed: what the machine may lose with its power."""
POINTS_INTERVAL_S = 1.0
"""Recovery points are rewritten at most so often."""
FULL_RETRY_S = 1.0
"""On a full disk recovery points cannot be rewritten; how long until they are tried again."""


class SyncedLog(Protocol):
    """What the flusher needs of a PartitionLog. On the loop."""

    @property
    def log_end_offset(self) -> Offset: ...

    @property
    def high_watermark(self) -> Offset:
        """Below the log's end if a sync would move it: then somebody may wait for that."""
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

    def sync(self) -> None: ...

    def sync_file_system(self) -> None: ...

    def note_synced(self, log: Log_contra) -> None: ...

    def collect_points(self) -> bool: ...

    def write_points(self) -> None: ...

    def mark_failed(self, error: Exception) -> None: ...


class Flusher(Generic[Log]):
    """An asyncio shell; every method on the loop.

    `on_synced(log)` after each log's synced end has moved. After a failed sync `on_failed` is
    called once, nothing is tried again, and what is marked dirty later is ignored: its appends
    were refused. A failed sync may have dropped the dirty pages, so a second one that succeeds
    proves nothing.
    """

    def __init__(
        self,
        offload: Offload,
        directory: FlushDirectory[Log],
        *,
        on_synced: Callable[[Log], None],
        on_failed: Callable[[LogdError], None],
    ) -> None:
        self._offload = offload
        self._directory = directory
        self._on_synced = on_synced
        self._on_failed = on_failed
        self._dirty: dict[Log, None] = {}
        self._lazy: dict[Log, None] = {}
        self._rounds: asyncio.Task[None] | None = None
        self._points: asyncio.Task[None] | None = None
        self._lazy_timer: asyncio.TimerHandle | None = None
        self._failed = False
        self._closing = False

    def mark_dirty(self, log: Log) -> None:
        """The log has been appended to. Sync it at once, or in a while if nobody waits for it."""
        if self._failed:
            return
        # A page_cache topic's end is its high watermark, but for the first append of a run, which
        # waits until a start would find it.
        if log.high_watermark >= log.log_end_offset:
            if log.unsynced_bytes < PAGE_CACHE_UNSYNCED_BYTES_MAX:
                self._lazy[log] = None
                self._arm_lazy_timer()
                return
        self._lazy.pop(log, None)
        self._dirty[log] = None
        self._start_rounds()

    async def sync_all(self) -> None:
        """Return when all that was dirty at the call is synced, or a sync has failed."""
        self._sync_lazy()
        while self._rounds is not None:
            await asyncio.wait([self._rounds])

    async def close(self) -> None:
        """Sync all, then stop. On a full disk what cannot be synced now fails."""
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
        if self._failed:
            return
        self._dirty |= self._lazy
        self._lazy.clear()
        if self._dirty:
            self._start_rounds()

    def _start_rounds(self) -> None:
        if self._rounds is None:
            self._rounds = asyncio.get_running_loop().create_task(self._run_rounds())

    async def _run_rounds(self) -> None:
        """Rounds until nothing is dirty. Any exception stops all syncing: acknowledging without
        knowing why would be worse."""
        try:
            while self._dirty and not self._failed:
                logs = list(islice(self._dirty, LOGS_A_ROUND_MAX))
                for log in logs:
                    del self._dirty[log]
                await self._sync_round([log for log in logs if not log.closed])
        except Exception as error:
            self._fail(error)
        finally:
            self._rounds = None

    async def _sync_round(self, logs: Sequence[Log]) -> None:
        tickets = [(log, log.start_sync()) for log in logs]
        if len(tickets) >= SYNCFS_FILES_MIN:
            await self._offload.run(self._directory.sync_file_system)
        workers = min(len(tickets), SYNCS_AT_ONCE_MAX)
        parts = [tickets[worker::workers] for worker in range(workers)]
        syncs = [self._sync_part(part) for part in parts]
        if self._directory.needs_sync:
            syncs.append(self._sync_directory())
        for error in filter(None, await asyncio.gather(*syncs)):
            raise error
        for log, ticket in tickets:
            if not log.closed:
                self._publish(log, ticket)
        if self._points is None:
            self._points = asyncio.get_running_loop().create_task(self._rewrite_points())

    async def _sync_part(self, part: Sequence[tuple[Log, Any]]) -> Exception | None:
        """Sync some logs one after the other on one thread; the first error, if any."""

        def run() -> list[tuple[Log, Exception]]:
            failed: list[tuple[Log, Exception]] = []
            for log, ticket in part:
                try:
                    ticket.run()
                except (OSError, LogdError) as error:
                    failed.append((log, error))
            return failed

        failed = await self._offload.run(run)
        # The files of a log that was closed meanwhile may be gone: that is no failed sync.
        return next((error for log, error in failed if not log.closed), None)

    async def _sync_directory(self) -> Exception | None:
        """No append of this round is acknowledged before this has succeeded: a full disk delays
        them, and only a failing one is an error."""
        while True:
            try:
                await self._offload.run(self._directory.sync)
                return None
            except OSError as error:
                if self._closing or not is_full(error):
                    return error
                logger.warning("disk full: appends wait", error=str(error))
            await asyncio.sleep(FULL_RETRY_S)

    def _publish(self, log: Log, ticket: Any) -> None:
        log.finish_sync(ticket)
        self._directory.note_synced(log)
        try:
            self._on_synced(log)
        except Exception:  # a fault of who waits must not stop the others' syncs
            logger.exception("waking those who wait for a sync failed")

    async def _rewrite_points(self) -> None:
        """Let recovery points follow the synced ends, as long as these move."""
        try:
            while True:
                await asyncio.sleep(POINTS_INTERVAL_S)
                if self._failed or not self._directory.collect_points():
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
        self._failed = True
        self._dirty.clear()
        self._lazy.clear()
        logger.error("a sync failed", error=str(error), exc_info=error)
        self._directory.mark_failed(error)
        self._on_failed(
            SyncFailed(f"the disk failed to sync ({error}): whether the append was kept is unknown")
        )
