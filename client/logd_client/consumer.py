"""The asynchronous consumer.

How it works: `ConsumerAssignment` finds the partitions and where each starts: at what the group has
committed, or by auto_offset_reset. A member of a group gets them by its session instead
(`GroupSession`, `MemberPartitions`), and may lose them by it at any time. From then on
`ConsumerPositions` knows of each how far the application has come, what waits for it, and where the
next fetch goes on; its `FetchSession` knows what the broker was told of that, so that a request
names only what changed. Nothing of that touches the world. `ConsumerFetcher` does: one task reads
the answers of a stream, one sends the request that is due. An answer comes in parts, for as long as
records come; a part is kept as bytes until the application takes a batch of it, and is decoded then
(`BatchReader`, `RecordCursor`).

Who waits for whom, on one loop:
- the application waits (`_next_within`) only while nothing is there, and is woken by each answer;
- no request goes out while fetch_max_bytes wait for the application: taking some wakes the fetcher;
- a seek, a pause or a rewind makes stale what is on its way, and goes out at once: the broker then
  ends the answer that it is at;
- an application that never awaits anything else gives the loop a turn now and then (LOOP_TURN_MS).

Who asks for more is done with what came before. `GroupCommits` commits so far, at each interval and
at the end, under the rewind epoch that it was read under: where the group was rewound meanwhile,
nothing is committed, and reading goes on where the rewind says.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from logd.model.checked_values import check_int
from logd.model.errors import (
    BrokerUnreachable,
    FencedMember,
    InvalidConfig,
    LogdError,
    ReplayEnded,
    RequestTimeout,
)
from logd.model.offset_spec import OffsetSpec
from logd.model.seams import Clock, Random, Transport
from logd.model.topic import PARKED_SUFFIX, check_name
from logd_client.arrow_replay import ArrowReplay, ReplayBound
from logd_client.broker_connection import BrokerConnection, persist
from logd_client.client_config import (
    START_TIMEOUT_MS,
    ConsumerConfig,
    ConsumerSettings,
    parse_settings,
)
from logd_client.client_tasks import ClientTasks
from logd_client.consumer_assignment import ConsumerAssignment, named_partitions
from logd_client.consumer_fetcher import ConsumerFetcher
from logd_client.consumer_health import ConsumerHealth, health_of
from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.progress_watch import ProgressWatch
from logd_client.core.record_cursor import RecordCursor
from logd_client.core.record_window import Order, RecordWindow
from logd_client.diagnostics import logger
from logd_client.failed_records import FailedRecords
from logd_client.group_commits import GroupCommits, Offsets, offsets_upto
from logd_client.group_session import GroupSession, new_membership
from logd_client.member_partitions import MemberPartitions
from logd_client.offset_lookup import OffsetLookup
from logd_client.parallel_records import ParallelRecords, checked_workers
from logd_client.parked_records import ParkedRecords
from logd_client.rebalance_callbacks import Callback, RebalanceCallbacks
from logd_client.record import Record
from logd_client.record_batch import RecordBatch, import_arrow
from logd_client.record_iterator import BatchIterator, RecordIterator
from logd_client.short_traceback import short_traceback
from logd_client.use_guard import UseGuard

if TYPE_CHECKING:
    import pyarrow

T = TypeVar("T")

LOOK_MS = 500
"""How often it looks whether everything gets on."""

LOOP_TURN_MS = 2
"""An application that never awaits anything else gives the event loop a turn this often, so that
fetches go on while it works."""


class Consumer:
    """Reads topics: `async with Consumer("orders", group_id="billing") as consumer`, then one of

        async for record in consumer: ...            # one at a time
        async for batch in consumer.batches(): ...   # RecordBatch, whole
        records = await consumer.poll(timeout_ms=1000)

    With a `group_id` it is a member: the group's members share the topics' partitions, and each
    starts where the group has committed, else by `auto_offset_reset`. `on_assigned`, `on_revoked`
    and `on_lost` are functions, also coroutine functions, of a list of (topic, partition): called
    with what it gets, before any of it is received; with what it shall give up, when the
    application is done with what it has in hand (it may commit, seek, close); with what others have
    already. What one raises, the next read raises. With `partitions` it is no member: it reads
    those, and commits what no member has. What is committed, at each interval and on close, is what
    the application is done with: it has asked for more after it, or called `commit`. Leaving `async
    with` by an exception does not commit the record, batch or poll that was in hand; without a
    broker it commits nothing, and warns.

    Settings are keyword arguments (`ConsumerConfig`). Used by tasks of one event loop; one of them
    reads. Every method raises ClientClosed, also while it waits, UsedAfterFork, UsedInAnotherLoop,
    and InvalidConfig for what is no offset, count or partition; reads raise what the broker
    answers. Where no broker can be reached, `start` and reads wait for one, and warn now and then;
    all else raises BrokerUnreachable after request_timeout_ms. A read that raised, or was
    cancelled, may be repeated: no place is lost.
    """

    def __init__(
        self,
        *topics: str,
        bootstrap_servers: str | Sequence[str] | None = None,
        transport: Transport | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
        on_assigned: Callback | None = None,
        on_revoked: Callback | None = None,
        on_lost: Callback | None = None,
        **settings: Unpack[ConsumerSettings],
    ) -> None:
        given = {"bootstrap_servers": bootstrap_servers, **settings}
        config = parse_settings(ConsumerConfig, given)
        self.config = config
        self._connection = BrokerConnection(
            config.bootstrap_servers,
            client_id=config.client_id,
            request_timeout_ms=config.request_timeout_ms,
            retry_backoff_ms=config.retry_backoff_ms,
            transport=transport,
            clock=clock,
            random=random,
        )
        self._positions = ConsumerPositions(
            auto_offset_reset=config.auto_offset_reset,
            on_records_lost=config.on_records_lost,
            skip_undecodable=config.on_undecodable == "skip",
            buffer_bytes_max=config.fetch_max_bytes,
            max_wait_ms=config.fetch_max_wait_ms,
            retry_backoff_ms=config.retry_backoff_ms,
        )
        named = named_partitions(topics, config.partitions, config.pattern)
        self._lookup = OffsetLookup(self._connection, self._positions)
        self._fetcher = ConsumerFetcher(self._connection, self._positions, config)
        self._loop_turn_ms = 0
        self._guard = UseGuard("Consumer")
        self._tasks = ClientTasks(self._connection.clock, self._guard.fail)
        self._watch = ProgressWatch(self._positions)
        callbacks = RebalanceCallbacks(on_assigned, on_revoked, on_lost, self._fetcher.tell)
        self._group: GroupCommits | None = None
        self._session: GroupSession | None = None
        if config.group_id is not None:
            consumer_id = f"{config.client_id}-{self._connection.random.bytes(4).hex()}"
            self._group = GroupCommits(
                self._connection, self._positions, config.group_id, consumer_id
            )
            if config.is_member:
                self._session = self._member(self._group, consumer_id, named, callbacks)
        if callbacks.are_given and self._session is None:
            raise InvalidConfig("callbacks are for members: a group_id, and no partitions")
        self._assignment = ConsumerAssignment(
            self._connection, self._positions, self._lookup, self._group, self._session, named
        )
        self._starting: asyncio.Task[None] | None = None
        self._started = self._closing = False
        self._parallel: ParallelRecords | None = None
        self._topics = topics
        self._parked = ParkedRecords(config, transport)
        self._failed: FailedRecords | None = None

    def _member(
        self,
        commits: GroupCommits,
        member_id: str,
        topics: Iterable[str],
        callbacks: RebalanceCallbacks,
    ) -> GroupSession:
        config, membership = self.config, new_membership(member_id, topics, self.config)
        partitions = MemberPartitions(
            membership,
            self._positions,
            commits,
            self._fetcher,
            callbacks,
            config,
            self._tasks.start,
        )
        return GroupSession(
            self._connection, partitions, self._watch, config, self._guard, self._tasks.start
        )

    async def __aenter__(self) -> Self:
        """As start(), but without a broker it goes on after START_TIMEOUT_MS: the first read waits
        for one, and a program that polls hears its signals meanwhile."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_TIMEOUT_MS / 1000):
                    await self.start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        told = (BrokerUnreachable, RequestTimeout) if error is None else LogdError
        try:
            await self._close(received_is_done=error is None)
        except told as failed:
            logger.warning(
                "commit_on_close_failed",
                error=failed.message,
                effect="the group reads again what it had received since its last commit",
            )

    @short_traceback
    async def start(self) -> None:
        """Find the partitions and where to start, as soon as a broker answers. Reads do so, too. A
        member joins its group; it may have no partition yet when this returns.

        Raises UnknownTopic, UnknownPartition, OffsetOutOfRange (auto_offset_reset is 'none').
        """
        self._guard.check_on_loop()
        if self._started:
            return
        if self._starting is None:
            self._starting = self._tasks.start("start", self._start(), answers=LogdError)
        starting = self._starting
        async with self._guard.waiting():
            await asyncio.wait([starting])
        if self._starting is starting:
            self._starting = None  # after a refusal the next call tries again
        if starting.cancelled():
            raise self._guard.error()
        starting.result()

    async def _start(self) -> None:
        if (refused := await persist(self._assignment.start)) is not None:
            raise refused
        config, follow, wake = self.config, self._assignment.follow, self._fetcher.wake
        self._tasks.start("fetch", self._fetcher.run())
        self._tasks.start("watch progress", self._look())
        if self._session is None:
            self._tasks.repeat("follow topics", follow, config.metadata_max_age_ms, wake)
        if self._group is not None:
            commit = partial(self._group.commit, with_offsets=config.enable_auto_commit)
            self._tasks.repeat("commit", commit, config.auto_commit_interval_ms, wake)
        self._started = True

    @short_traceback
    async def close(self) -> None:
        """Commit what was received, unless enable_auto_commit is off, and end. Safe to call twice.

        What waits in another call ends at once. Raises what the commit raises; the consumer is
        closed then, too. A broker that cannot be reached is tried for 1 s, a silent one for 5 s.
        """
        await self._close(received_is_done=True)

    # Reading

    def __aiter__(self) -> AsyncIterator[Record]:
        return RecordIterator(self.next_cursor)

    def batches(self) -> AsyncIterator[RecordBatch]:
        """Whole batches as they are stored, the first trimmed to the position. Without end, but
        for a replay's."""
        return BatchIterator(self.next_batch)

    @short_traceback
    async def poll(self, timeout_ms: int = 1_000, max_records: int | None = None) -> list[Record]:
        """What is there, at least one record, at most `max_records` (max_poll_records).

        An empty list when nothing came for `timeout_ms`; with 0 only what is buffered. Raises
        ReplayEnded at the end of a replay.
        """
        self._end_parallel()
        check_int("timeout_ms", timeout_ms, 0)
        limit = self.config.max_poll_records
        if max_records is not None:
            limit = check_int("max_records", max_records, 1)
        records: list[Record] = []
        cursor = await self._next_within(self._positions.current_cursor, timeout_ms)
        while cursor is not None:
            cursor.looping = False
            records += cursor.take(limit - len(records))
            if len(records) >= limit:
                break
            try:
                cursor = self._positions.current_cursor()
            except LogdError:
                break  # the next read raises it again
        self._request_if_due()
        return records

    @short_traceback
    async def next_batch(self) -> RecordBatch:
        """The next of `batches()`. Raises ReplayEnded where those end."""
        self._end_parallel()
        return await self._next(self._positions.next_batch)

    @short_traceback
    async def next_cursor(self) -> RecordCursor:
        """The next records, for a loop: in this thread, or in the caller's of the sync face."""
        self._end_parallel()
        cursor = await self._next(self._positions.current_cursor)
        cursor.looping = True
        return cursor

    @short_traceback
    async def read_arrow(
        self,
        topic: str,
        since: ReplayBound = None,
        until: ReplayBound = None,
        partitions: Sequence[int] | None = None,
    ) -> "pyarrow.RecordBatchReader":
        """All records of a topic from `since` on, until before `until`, for offline replay.

        Both are times of append (a datetime with a zone, or ms since 1970 UTC) or an OffsetSpec, as
        OffsetSpec.at_record_time for the records' own times;
        None: the log's start, and the high watermark now. Batches have the columns of
        `logd.model.arrow_batches.SCHEMA` and come by partition, then offset, a few MiB at a time,
        and end. The topic need not be one of the consumer's; its positions and group stay as they
        are. Raises UnknownTopic, UnknownPartition, InvalidConfig, MissingPackage (pyarrow).

        The reader waits for this event loop, so pull it in another thread:
        `await asyncio.to_thread(reader.read_all)`. It raises what reads do, also OffsetOutOfRange
        where retention overtook it. It ends with the consumer, or when it is dropped.
        """
        import_arrow()
        replay = ArrowReplay(self._connection, self.config, self._guard, self._tasks.background)
        async with self._guard.waiting():
            await replay.start(topic, since, until, partitions)
        if replay.task is not None:
            self._tasks.own(replay.task)
        return replay.reader()

    def records(
        self,
        *,
        concurrency: int = 1,
        order: Order = "key",
        max_attempts: int | None = None,
        retry_delay_ms: int = 1_000,
        hold_order: bool = True,
    ) -> ParallelRecords:
        """Records for several workers at once: either

            await consumer.records(concurrency=32, order="key").for_each(handle)

        or, in each of up to `concurrency` tasks, `async for record in records`, within `async with
        consumer.records(...) as records`: a worker is done with a record when it asks for the next.

        `order`: of records with the same "key", or of one "partition", one is in hand at a time,
        in order; "none": whoever is free takes the next. A slow record holds up nothing else: what
        is done beyond it is committed with it, and is not received again after a restart or by
        the next member. One way of reading at a time: another one ends this.

        A worker may say `record.retry(delay_s)`, `record.park(reason)` or `record.skip()`. With
        `max_attempts` what `handle` raises does: the record is tried again after `retry_delay_ms`,
        twice as long each time, up to 5 minutes, while with `hold_order` what comes after it in
        its key or partition waits; and it is parked in "TOPIC.parked" after so many attempts.
        Raises InvalidConfig, InvalidName where "TOPIC.parked" would be too long.
        """
        self._guard.check_on_loop()
        workers = checked_workers(concurrency, order, max_attempts, retry_delay_ms, hold_order)
        for topic in self._topics if max_attempts is not None else ():
            check_name(topic + PARKED_SUFFIX)
        self._end_parallel()
        if self._failed is None:
            self._failed = FailedRecords(self._connection.clock, self._parked, self._group)
            if self._group is not None and self.config.enable_auto_commit:
                self._tasks.start("keep attempts", self._failed.keep_attempts())
        self._parallel = ParallelRecords(
            lambda take: self._next(take),
            self._fetcher.arrived,
            self._positions,
            RecordWindow(order, self.config.fetch_max_bytes),
            workers,
            self._failed,
        )
        return self._parallel

    def _end_parallel(self) -> None:
        if self._parallel is not None:
            self._parallel.end()
            self._parallel = None

    # Positions

    @property
    def assignment(self) -> list[tuple[str, int]]:
        """(topic, partition) that are read, once the consumer has started; of a member as it is
        now, also what it has still to give up."""
        return [(at.topic, at.partition) for at in self._positions]

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Go on from `offset`. Before the start it takes the place of the committed offset."""
        self._guard.check_on_loop()
        self._positions.seek(topic, partition, offset)
        self._fetcher.wake()

    def position(self, topic: str, partition: int) -> int:
        """The next offset that the application will receive. Raises UnknownPartition."""
        self._guard.check_on_loop()
        return self._positions.position(self._positions.get(topic, partition))

    @short_traceback
    async def lag(self, topic: str, partition: int) -> int:
        """Offsets from the position to the high watermark, which is asked for."""
        await self.start()
        at = self._positions.get(topic, partition)
        async with self._guard.waiting():
            (end,) = await self._lookup.ask([(at, OffsetSpec.latest())])
        if isinstance(end, LogdError):
            raise end
        return max(0, end - self._positions.position(at))

    def health(self) -> ConsumerHealth:
        """Whether it gets on, and if not, what stands still; for a probe, without I/O. Raises what
        ends a consumer: ClientClosed, DuplicateInstance."""
        self._guard.check_on_loop()
        membership = None if self._session is None else self._session.membership
        now_ms = self._connection.clock.monotonic_ms()
        return health_of(self._positions, self._watch, membership, now_ms)

    def pause(self, topic: str, partition: int) -> None:
        """Deliver nothing of this partition until `resume`."""
        self._guard.check_on_loop()
        self._positions.pause(topic, partition)
        self._positions_changed()

    def resume(self, topic: str, partition: int) -> None:
        """Deliver it again, from where it was paused."""
        self._guard.check_on_loop()
        self._positions.resume(topic, partition)
        self._fetcher.arrived()  # what was fetched before the pause
        self._positions_changed()

    @short_traceback
    async def commit(self, upto: Record | Offsets | None = None) -> bool:
        """Commit all that was received: the application is done with it. Or `upto` a record, that
        one included, or {(topic, partition): the next offset to read}; the interval and close()
        commit more, unless enable_auto_commit is off. An offset falls only after a seek back.

        False: the group was rewound meanwhile, or `upto` was not received since a rewind or seek;
        nothing was committed, and the consumer goes on from the group's new position. Raises
        InvalidConfig without a group_id, UnknownPartition, and of a member FencedMember where it no
        longer has a partition: whoever has it now goes on from the last commit.
        """
        await self.start()
        group = self._require_group()
        upto = None if upto is None else offsets_upto(upto)
        if upto is None:
            self._positions.acknowledge()
        try:
            async with self._guard.waiting():
                return await group.commit(upto)
        finally:
            self._came_back()
            self._fetcher.wake()

    @short_traceback
    async def committed(self, topic: str, partition: int) -> int | None:
        """The group's committed offset, the next to read; None: nothing was committed."""
        await self.start()
        group, at = self._require_group(), self._positions.get(topic, partition)
        async with self._guard.waiting():
            return await group.committed(at)

    # Inside

    async def _next(self, take: Callable[[], T | None]) -> T:
        while True:
            found = await self._next_within(take, None)
            if found is not None:
                return found

    async def _next_within(self, take: Callable[[], T | None], timeout_ms: int | None) -> T | None:
        """What `take` gives, as soon as it gives something; None after `timeout_ms`."""
        clock = self._connection.clock
        now_ms = clock.monotonic_ms()
        if not self._started or not self._guard.usable:
            try:
                async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                    await self.start()
            except TimeoutError:
                return None
        if now_ms - self._loop_turn_ms >= LOOP_TURN_MS:
            self._loop_turn_ms = now_ms
            await asyncio.sleep(0)
            self._guard.check()
        self._positions.acknowledge()
        self._came_back()
        waited = False
        while True:
            self._fetcher.raise_told()
            pace = self._positions.turns.pace
            if pace.runs:
                pace.look(clock.monotonic_ms())
            found = take()
            self._request_if_due()
            if found is None and self._positions.is_over and await self._is_replay_over():
                self._fetcher.arrived()  # other workers wait for records
                raise ReplayEnded("the replay is over: there is nothing more to read")
            left_ms = None if timeout_ms is None else now_ms + timeout_ms - clock.monotonic_ms()
            if found is not None or (waited and left_ms is not None and left_ms <= 0):
                return found
            # What is due already waits for room, which is made when something else is done.
            waits = [pace.wait_ms] if pace.wait_ms else []
            waits += [] if left_ms is None else [max(0, left_ms)]
            async with self._guard.waiting():
                await self._fetcher.arrival(min(waits, default=None))
            waited = True
            self._loop_turn_ms = clock.monotonic_ms()

    async def _is_replay_over(self) -> bool:
        """All that it has is read, and done: the group is to know it before whoever reads does.
        Not where it cannot be told just now, nor where there is more to read by then."""
        if self._group is not None and self.config.enable_auto_commit:
            try:
                async with self._guard.waiting():
                    if not await self._group.commit():
                        return False
            except FencedMember:
                return False  # what it has lost it is told
            except LogdError as error:
                if not error.retriable:
                    raise
                return False
        session = self._session
        if session is not None and not session.membership.replay_over:
            session.wake()
        elif self._positions.is_over:
            return True
        return False

    def _request_if_due(self) -> None:
        """Delivery made room in the buffer: let the fetcher see."""
        if self._positions.session.wants_request:
            self._fetcher.wake()

    def _came_back(self) -> None:
        if self._session is not None:
            self._session.came_back()

    def _positions_changed(self) -> None:
        self._fetcher.wake()
        if self._session is not None:
            self._session.wake()

    async def _look(self) -> None:
        """See what stands still, and tell the group's coordinator."""
        while True:
            now_ms = self._connection.clock.monotonic_ms()
            self._watch.look(now_ms)
            if self._session is not None:
                self._session.tick(now_ms)
            await asyncio.sleep(LOOK_MS / 1000)

    def _require_group(self) -> GroupCommits:
        if self._group is None:
            raise InvalidConfig("this consumer has no group_id to commit for", field="group_id")
        return self._group

    async def _close(self, *, received_is_done: bool) -> None:
        if self._closing or self._guard.closed or self._guard.forked:
            return
        self._guard.check_loop()
        self._closing = True
        try:
            if received_is_done:
                self._positions.acknowledge()
            if self._session is not None:
                await self._session.partitions.leave()
            self._guard.close()
            self._positions.end()
            session = None if self._session is None else self._session.running
            await self._tasks.stop(session)  # a commit of theirs must not hold up the last one
            if self._session is not None:
                await self._session.leave()
            elif self._group and self._positions.started:
                with_offsets = self.config.enable_auto_commit
                await self._group.commit(with_offsets=with_offsets, leaving=True)
        finally:
            await self._end()

    async def _end(self) -> None:
        self._guard.close()
        self._positions.end()
        await self._tasks.stop()
        await self._parked.close()
        await self._connection.close()
