"""The embedded metadata store: one SQLite file for one broker."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, TypeVar

import structlog

from logd.model.errors import BrokerDraining, Conflict, InvalidConfig, LogdError
from logd.model.seams import Clock, Compare, Delete, KeyValue, MetadataEvent, Offload, Put
from logd.system.background_tasks import BackgroundTasks, awaited
from logd_replication.metadata_watch import MetadataWatch
from logd_replication.sqlite_database import SqliteDatabase

OPERATIONS_PER_TRANSACTION_MAX = 128
"""etcd's limit (max-txn-ops), on compares and on operations."""
TRANSACTION_BYTES_MAX = 1536 << 10
"""etcd's limit (max-request-bytes)."""
OPERATION_OVERHEAD_BYTES = 64
"""What etcd's encoding of one compare or operation takes at most, beside key and value."""

T = TypeVar("T")
logger = structlog.get_logger()


@dataclass(slots=True)
class _Lease:
    ttl_ms: int
    ends_ms: int


class SqliteMetadataStore:
    """Implements `logd.model.seams.MetadataStore` for the one broker that owns the file.

    Refuses what etcd would. Calls take effect one after the other in the order they were made; one
    that is cancelled still takes effect. Errors: those of `SqliteDatabase`; Conflict from a watch
    whose revision is too old and from a put under a lease that has ended.

    Leases run on the boot-time clock. They are held in memory: the file's only user is this
    process, so the leases of an earlier one end, and their keys go, when the file is opened.
    """

    def __init__(
        self, database: SqliteDatabase, clock: Clock, offload: Offload, tasks: BackgroundTasks
    ) -> None:
        """`open` is the way in. `offload` has one thread; its owner closes it after the store."""
        self._database = database
        self._clock = clock
        self._offload = offload
        self._tasks = tasks
        self._turn = asyncio.Lock()
        self._watches: list[MetadataWatch] = []
        self._leases: dict[int, _Lease] = {}
        self._last_lease_id = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: str,
        clock: Clock,
        offload: Offload,
        tasks: BackgroundTasks,
        *,
        must_exist: bool = False,
    ) -> Self:
        """Open or create the file and check all of it. Raises as `SqliteDatabase` does."""

        def work() -> SqliteDatabase:
            database = SqliteDatabase(path, must_exist=must_exist)
            try:
                database.drop_leased(None)
            except BaseException:
                database.close()
                raise
            return database

        return cls(await offload.run(work), clock, offload, tasks)

    async def get(self, key: str) -> KeyValue | None:
        return await self._call(lambda: (self._database.get(key), []))

    async def range(self, prefix: str) -> tuple[list[KeyValue], int]:
        return await self._call(lambda: (self._database.range(prefix), []))

    async def transact(
        self, compares: Sequence[Compare], operations: Sequence[Put | Delete]
    ) -> int | None:
        _check_limits(compares, operations)
        leases = {op.lease_id for op in operations if isinstance(op, Put) and op.lease_id}

        def work() -> tuple[int | None, list[MetadataEvent]]:
            for lease_id in sorted(leases - self._leases.keys()):
                raise Conflict(f"lease {lease_id} has ended; take a new one", lease_id=lease_id)
            return self._database.apply(compares, operations)

        return await self._call(work)

    async def watch(self, prefix: str, after_revision: int) -> AsyncGenerator[MetadataEvent, None]:
        """Ends when the store is closed."""
        watch = MetadataWatch(prefix, after_revision)
        self._watches.append(watch)
        try:
            while True:
                if watch.pending:
                    yield watch.pending.popleft()
                elif self._closed:
                    return
                elif watch.behind:
                    await self._catch_up(watch)
                else:
                    await watch.wait()
        finally:
            self._watches.remove(watch)

    async def lease(self, ttl_s: int) -> int:
        if ttl_s < 1:
            raise InvalidConfig(f"a lease of {ttl_s} s; at least 1 s is possible", field="ttl_s")

        async def grant() -> int:
            self._last_lease_id += 1
            self._leases[self._last_lease_id] = self._new_lease(ttl_s * 1000)
            return self._last_lease_id

        return await self._in_turn(grant)

    async def keep_alive(self, lease_id: int) -> bool:
        async def renew() -> bool:
            lease = self._leases.get(lease_id)
            if lease is not None:
                self._leases[lease_id] = self._new_lease(lease.ttl_ms)
            return lease is not None

        return await self._in_turn(renew)

    async def revoke(self, lease_id: int) -> None:
        async def end() -> None:
            if lease_id in self._leases:
                self._leases[lease_id].ends_ms = self._clock.boottime_ms()
                await self._end_leases()

        await self._in_turn(end)

    async def close(self) -> None:
        """After the calls already made; may be called twice."""
        async with self._turn:
            if self._closed:
                return
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            for watch in self._watches:
                watch.close()
            await self._offload.run(self._database.close)

    async def _call(self, work: Callable[[], tuple[T, list[MetadataEvent]]]) -> T:
        """Do `work` in its turn on the store's thread, then publish the events it gives."""

        async def call() -> T:
            result, events = await self._offload.run(work)
            self._publish(events)
            return result

        return await self._in_turn(call)

    async def _in_turn(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do `step` after the calls made before it, and after leases that are due have ended.

        A task of its own, so that a cancelled caller cannot part a commit from its events.
        """

        async def take_turn() -> T:
            async with self._turn:
                if self._closed:
                    raise BrokerDraining("the metadata store is closed")
                try:
                    await self._end_leases()
                    return await step()
                finally:
                    self._arm_timer()

        call = self._tasks.start("metadata call", take_turn(), awaited, answers=LogdError)
        return await asyncio.shield(call)

    async def _catch_up(self, watch: MetadataWatch) -> None:
        async def read_changes() -> None:
            after = watch.seen_revision
            watch.caught_up(
                *await self._offload.run(lambda: self._database.changes_after(watch.prefix, after))
            )

        with suppress(BrokerDraining):
            await self._in_turn(read_changes)

    def _publish(self, events: Sequence[MetadataEvent]) -> None:
        if events:
            for watch in self._watches:
                watch.publish(events)

    def _new_lease(self, ttl_ms: int) -> _Lease:
        return _Lease(ttl_ms, self._clock.boottime_ms() + ttl_ms)

    async def _end_leases(self) -> None:
        now_ms = self._clock.boottime_ms()
        due = [lease_id for lease_id, lease in self._leases.items() if lease.ends_ms <= now_ms]
        if due:
            self._publish(await self._offload.run(lambda: self._database.drop_leased(due)))
            for lease_id in due:
                del self._leases[lease_id]

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._leases:
            soonest_ms = min(lease.ends_ms for lease in self._leases.values())
            wait_ms = max(1, soonest_ms - self._clock.boottime_ms())
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait_ms / 1000, self._on_timer)

    def _on_timer(self) -> None:
        async def expire() -> None:
            try:
                with suppress(BrokerDraining):
                    await self._in_turn(self._end_leases)
            except LogdError as error:
                logger.error("leases_not_ended", reason=error.reason, message=error.message)

        self._tasks.start("end of leases", expire(), awaited)


def _check_limits(compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> None:
    count = max(len(compares), len(operations))
    if count > OPERATIONS_PER_TRANSACTION_MAX:
        raise InvalidConfig(
            f"a metadata transaction of {count} compares or operations; "
            f"{OPERATIONS_PER_TRANSACTION_MAX} are possible",
            limit=OPERATIONS_PER_TRANSACTION_MAX,
        )
    keys = [operation.key for operation in operations]
    if len(set(keys)) < len(keys) or not all(keys):
        raise InvalidConfig("a metadata transaction changes a key twice, or one without a name")
    size = sum(
        OPERATION_OVERHEAD_BYTES + len(item.key.encode()) for item in [*compares, *operations]
    )
    size += sum(len(operation.value) for operation in operations if isinstance(operation, Put))
    if size > TRANSACTION_BYTES_MAX:
        raise InvalidConfig(
            f"a metadata transaction of {size} bytes; {TRANSACTION_BYTES_MAX} are possible",
            limit=TRANSACTION_BYTES_MAX,
        )
