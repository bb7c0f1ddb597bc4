"""One partition of __consumer_offsets: loads its state from the log and appends to both."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol
from weakref import WeakValueDictionary

import structlog

from logd.model.errors import (
    BrokerDraining,
    CoordinatorLoading,
    LogdError,
    NotCoordinator,
    error_from_reason,
)
from logd.model.ids import Offset, PartitionId
from logd.model.seams import Clock
from logd.system.background_tasks import BackgroundTasks, awaited
from logd_consumer_groups.core.offset_records import OffsetRecord, SnapshotBegin
from logd_consumer_groups.core.shard_state import ShardState
from logd_consumer_groups.core.snapshots import SnapshotWriter, snapshot_is_due
from logd_consumer_groups.ports import OffsetsLog

RECORDS_PER_TURN = 500
"""Records replayed at load before other work of the loop has its turn."""
RELOAD_AFTER_MS = 1_000
"""A load that failed is tried again at the first request so long after it."""

logger = structlog.get_logger()


class ShardListener(Protocol):
    """Who holds more of groups than their log does."""

    def loaded(self, shard: "GroupShard", state: ShardState) -> None: ...

    def dropped(self, shard: "GroupShard") -> None:
        """The state is of no use any more, whether or not another is loaded."""
        ...


class GroupShard:
    """The asyncio shell around a ShardState.

    A record is replayed as soon as it is appended; what is answered waits until it is committed. An
    append that fails, or that is not committed, leaves unknown what the log holds: the state is
    dropped and read again from the log. `state` is a new object then, so a caller that holds on to
    one over an await has its append refused rather than applied to a state it did not see.
    """

    def __init__(
        self,
        partition: PartitionId,
        log: OffsetsLog,
        clock: Clock,
        tasks: BackgroundTasks,
        listener: ShardListener,
    ) -> None:
        self.partition = partition
        self._listener = listener
        self._log = log
        self._clock = clock
        self._tasks = tasks
        self._state: ShardState | None = None
        self._error: LogdError | None = self._not_coordinator()
        self._failed_ms: int | None = None
        self._load_task: asyncio.Task[None] | None = None
        self._snapshot_task: asyncio.Task[None] | None = None
        self._latest_commit: asyncio.Future[None] | None = None
        # A lock lives while somebody holds or awaits it; a new one would be free just the same.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def state(self) -> ShardState:
        """Raises CoordinatorLoading, NotCoordinator, or why the last load failed."""
        if self._state is not None:
            return self._state
        error = self._error
        if error is None:
            raise self._loading()
        now_ms = self._clock.monotonic_ms()
        if self._failed_ms is not None and now_ms - self._failed_ms >= RELOAD_AFTER_MS:
            self.lead()
        raise error_from_reason(error.reason, error.message, error.details)

    def lead(self) -> None:
        """Begin to coordinate: drop what is known and load the log."""
        self._drop()
        self._error = None
        self._load_task = self._tasks.start("load of groups", self._load(), self._not_loaded)

    def resign(self) -> None:
        """The partition is led elsewhere now."""
        self._drop()
        self._error = self._not_coordinator()

    async def loaded(self) -> None:
        """Wait for the load under way, if there is one."""
        if self._load_task is not None:
            await asyncio.wait([self._load_task])

    async def close(self) -> None:
        tasks = [task for task in (self._load_task, self._snapshot_task) if task is not None]
        self.resign()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @asynccontextmanager
    async def turn(self, group: str) -> AsyncIterator[ShardState]:
        """Changes of one group go one after the other, each over all of its awaits."""
        lock = self._turns.setdefault(group, asyncio.Lock())
        async with lock:
            yield self.state

    def append(self, state: ShardState, records: Sequence[OffsetRecord]) -> None:
        """Append and replay. Raises CoordinatorLoading where `state` is not the present one, and
        what the log raises; the state is dropped then."""
        if state is not self._state:
            raise self._loading()
        pairs = [record.pack() for record in records]
        try:
            appended = self._log.append(self.partition, pairs)
            for index, (key, value) in enumerate(pairs):
                offset = Offset(appended.base_offset + index)
                state.replay(offset, appended.leader_epoch, key, value)
        except BrokerDraining:
            raise  # nothing was appended, nothing will be: what is known stays right
        except LogdError as error:
            self._reload(error)
            raise
        appended.committed.add_done_callback(partial(self._on_committed, state))
        self._latest_commit = appended.committed
        self._snapshot_if_due(state)

    async def committed(self) -> None:
        """Wait until all that was appended so far is committed; what was read from the state up to
        now may be told then. Raises what kept it from being committed."""
        if self._latest_commit is not None:
            await asyncio.shield(self._latest_commit)

    def _on_committed(self, state: ShardState, committed: asyncio.Future[None]) -> None:
        if committed.cancelled():
            return
        error = committed.exception()
        if error is not None and state is self._state:
            self._reload(error)

    def _reload(self, error: BaseException) -> None:
        logger.warning("group state dropped", partition=self.partition, error=str(error))
        self.lead()

    def _drop(self) -> None:
        if self._state is not None:
            self._state = None
            self._listener.dropped(self)
        self._failed_ms = None
        self._latest_commit = None
        if self._load_task is not None:
            self._load_task.cancel()
            self._load_task = None

    async def _load(self) -> None:
        state, count = ShardState(), 0
        try:
            async for offset, epoch, key, value in self._log.read(self.partition, Offset(0)):
                state.replay(offset, epoch, key, value)
                count += 1
                if count % RECORDS_PER_TURN == 0:
                    await asyncio.sleep(0)
            state.check_complete()
        except (LogdError, OSError) as error:
            self._not_loaded(error)
            return
        self._state = state
        self._listener.loaded(self, state)
        logger.debug("group state loaded", partition=self.partition, records=count)

    def _not_loaded(self, error: Exception) -> None:
        """Callers are told why, until a later load succeeds."""
        logger.error("group state not loaded", partition=self.partition, error=str(error))
        self._error = error if isinstance(error, LogdError) else self._loading(f" ({error!r})")
        self._failed_ms = self._clock.monotonic_ms()

    def _snapshot_if_due(self, state: ShardState) -> None:
        if self._snapshot_task is not None and not self._snapshot_task.done():
            return
        if snapshot_is_due(self._log.size_bytes(self.partition), state.state_bytes):
            snapshot = self._snapshot(state)
            self._snapshot_task = self._tasks.start("snapshot of groups", snapshot, awaited)

    async def _snapshot(self, state: ShardState) -> None:
        """Begin, chunks with a turn of the loop after each, end; then the log before it goes."""
        try:
            self.append(state, [SnapshotBegin(self._clock.wall_ms())])
            totals = state.open_snapshot
            assert totals is not None, "replaying a begin opens a snapshot"
            writer = SnapshotWriter(state, totals.begin_offset)
            while (chunk := writer.next_chunk()) is not None:
                self.append(state, [chunk])
                await asyncio.sleep(0)
            self.append(state, [totals.end()])
            await self.committed()
            await self._log.advance_log_start(self.partition, totals.begin_offset)
        except (LogdError, OSError) as error:
            logger.warning("snapshot not completed", partition=self.partition, error=str(error))

    def _loading(self, trouble: str = "") -> CoordinatorLoading:
        return CoordinatorLoading(
            f"the coordinator is reading the group's state from its log{trouble}; try again",
            partition=self.partition,
        )

    def _not_coordinator(self) -> NotCoordinator:
        return NotCoordinator(
            f"this broker does not lead partition {self.partition} of __consumer_offsets, which "
            "keeps this group",
            partition=self.partition,
        )
