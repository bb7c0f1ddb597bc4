"""The partitions of this broker: opens their logs, appends, waits, answers.

Appends and hot reads run on the loop; opening, recovery, cold reads and look-ups by time run in the
pools. A log is opened at its first use, so that a start with many idle partitions reads nothing.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from itertools import islice

import structlog

from logd.broker.added_partitions import with_beginning
from logd.broker.broker_pools import BrokerPools
from logd.broker.core.purgatory import Purgatory
from logd.broker.fetch_reader import FetchReader
from logd.broker.hosted_partition import HostedPartition, PendingAppend, ReceiptCallback
from logd.broker.ports import (
    Acks,
    Fetched,
    FetchInterrupt,
    FetchPosition,
    FetchWait,
    PartitionStatus,
    Topics,
)
from logd.broker.space_ahead import SpaceAhead
from logd.model.cluster import HealthProblem
from logd.model.errors import (
    AclDenied,
    BrokerDraining,
    LogdError,
    OffsetOutOfRange,
    StalePartitioning,
    UnknownTopic,
)
from logd.model.ids import BrokerId, LeaderEpoch, Offset, PartitionId, TopicPartition
from logd.model.offset_spec import FoundOffset, OffsetSpec
from logd.model.record_batch import check_produced
from logd.model.seams import Buffer, Clock
from logd.model.topic import Topic
from logd.system.background_tasks import BackgroundTasks, awaited
from logd_partitions.core.disk_errors import write_error
from logd_partitions.directory.log_directory import LogDirectory
from logd_partitions.log_tail import Appended
from logd_partitions.partition_log import PartitionLog
from logd_partitions.segment.read_plan import Cold
from logd_partitions.sync.flusher import Flusher

logger = structlog.get_logger()

OPENED_AT_ONCE_MAX = 16
"""Partitions recovered at the same time."""


class PartitionHost:
    """Implements `ports.Partitions`, and the file side of topic deletion."""

    def __init__(
        self,
        directory: LogDirectory,
        topics: Topics,
        pools: BrokerPools,
        clock: Clock,
        broker_id: BrokerId,
        leader_epoch: LeaderEpoch,
        tasks: BackgroundTasks,
    ) -> None:
        self._directory = directory
        self._topics = topics
        self._pools = pools
        self._clock = clock
        self._broker_id = broker_id
        self._leader_epoch = leader_epoch
        self._tasks = tasks
        self._hosted: dict[TopicPartition, HostedPartition] = {}
        self._opening: dict[TopicPartition, asyncio.Task[HostedPartition]] = {}
        self._unopened: dict[TopicPartition, HealthProblem] = {}
        self._draining = False
        self.purgatory = Purgatory()
        self._reader = FetchReader(self.hosted, self.purgatory, pools.cold_read)
        self._space = SpaceAhead(pools.maintenance, tasks)
        self._flusher = Flusher(
            pools.flush,
            directory,
            clock,
            tasks,
            on_synced=self._synced,
            on_failed=self._sync_failed,
        )

    async def recover(self) -> None:
        """Open what was open when the last run ended without a clean stop: it must be scanned.
        And what may not be what it is called, so that health tells of it at once."""
        unclean = [tp for tp in self._directory.unclean() if self._is_known(tp)]
        for name, partition in self._directory.in_doubt():
            with contextlib.suppress(UnknownTopic):
                topic = self._topics.by_name(name)
                topic.partition(partition)
                unclean.append(TopicPartition(topic.topic_id, partition))
        if unclean:
            logger.info("recovering after an unclean stop", partitions=len(unclean))
        for start in range(0, len(unclean), OPENED_AT_ONCE_MAX):
            some = unclean[start : start + OPENED_AT_ONCE_MAX]
            await asyncio.gather(*(self._try_open(topic_partition) for topic_partition in some))

    async def _try_open(self, topic_partition: TopicPartition) -> None:
        """One partition that cannot be opened is a problem of its own, not of the others."""
        with contextlib.suppress(LogdError):
            await self.hosted(topic_partition)

    def problems(self) -> list[HealthProblem]:
        """Partitions that did not open, until they do."""
        return list(self._unopened.values())

    def _is_known(self, topic_partition: TopicPartition) -> bool:
        with contextlib.suppress(UnknownTopic):
            return self._topics.by_id(topic_partition.topic_id) is not None
        return False

    def all_hosted(self) -> list[HostedPartition]:
        return list(self._hosted.values())

    async def open_some(self, count: int) -> None:
        """Open up to `count` partitions that hold data and are not open yet."""
        closed = (
            tp
            for tp in self._directory.with_data()
            if tp not in self._hosted and tp not in self._unopened and self._is_known(tp)
        )
        for topic_partition in list(islice(closed, count)):
            await self._try_open(topic_partition)

    async def maintain(self, hosted: HostedPartition, now_ms: int | None) -> None:
        """Retention, and what else time brings; `now_ms` None: the clock is not to be trusted."""
        start = hosted.log.log_start_offset
        await self._pools.maintenance.run(lambda: hosted.log.apply_retention(now_ms))
        if hosted.log.log_start_offset != start:
            self.purgatory.start_moved(hosted.topic_partition)

    def topic_changed(self, topic: Topic) -> None:
        """Settings of open logs follow those of their topic."""
        for number in range(len(topic.partitions)):
            hosted = self._hosted.get(TopicPartition(topic.topic_id, PartitionId(number)))
            if hosted is not None:
                hosted.log.set_config(topic.config)
                hosted.advance(self.purgatory)
                if hosted.pending:  # what waits now may have been appended as page_cache
                    self._flusher.mark_dirty(hosted.log)

    async def remove(self, topic: Topic) -> None:
        """Implements `TopicFiles`: nothing of the topic is served any more, then its files go."""
        for number in range(len(topic.partitions)):
            topic_partition = TopicPartition(topic.topic_id, PartitionId(number))
            self._unopened.pop(topic_partition, None)
            opening = self._opening.get(topic_partition)
            if opening is not None:
                await asyncio.wait([opening])
            hosted = self._hosted.pop(topic_partition, None)
            if hosted is not None:
                gone = UnknownTopic(f"topic '{topic.name}' was deleted", topic=topic.name)
                hosted.fail_pending(gone)
                hosted.log.discard()
                self.purgatory.partition_gone(topic_partition)
        try:
            await self._pools.maintenance.run(lambda: self._directory.remove_topic(topic))
        except OSError as error:
            raise write_error(error, f"the files of topic '{topic.name}'") from error

    async def sync_all(self) -> None:
        """Return when all that was appended before is synced, or a sync has failed."""
        await self._flusher.sync_all()

    async def drain(self) -> None:
        """Take no more appends, answer waiting fetches, sync, close the logs cleanly."""
        if self._draining:
            return
        self._draining = True
        self.purgatory.drain()
        if self._opening:
            await asyncio.wait(self._opening.values())
        await self._space.drain()
        await self._flusher.close()

    def is_open(self, topic_partition: TopicPartition) -> bool:
        hosted = self._hosted.get(topic_partition)
        return hosted is not None and hosted.log.ready_for_append

    async def open(self, topic_partition: TopicPartition) -> None:
        hosted = await self.hosted(topic_partition)
        if not hosted.log.ready_for_append:
            await self._pools.maintenance.run(
                lambda: hosted.log.prepare_append(hosted.leader_epoch)
            )

    async def hosted(self, topic_partition: TopicPartition) -> HostedPartition:
        """The open partition; many callers at once share one opening."""
        found = self._hosted.get(topic_partition)
        if found is not None:
            return found
        opening = self._opening.get(topic_partition)
        if opening is None:
            if self._draining:
                raise BrokerDraining("the broker is shutting down")
            topic = self._topics.by_id(topic_partition.topic_id)
            topic.partition(topic_partition.partition)
            work = self._open(topic, topic_partition.partition)
            opening = self._tasks.start("opening of a log", work, awaited, answers=LogdError)
            self._opening[topic_partition] = opening
            opening.add_done_callback(lambda _: self._opening.pop(topic_partition, None))
        return await asyncio.shield(opening)

    async def _open(self, topic: Topic, partition: PartitionId) -> HostedPartition:
        topic_partition = TopicPartition(topic.topic_id, partition)
        try:
            topic = await with_beginning(self._topics, topic, partition)
            open_log = partial(self._directory.open_log, topic, partition)
            log = await self._pools.maintenance.run(open_log)
        except LogdError as error:
            where, now_ms = f"{topic.name}:{partition}", self._clock.wall_ms()
            logger.error("a partition does not open", partition=where, error=error.message)
            problem = HealthProblem("error", error.reason, where, error.message, now_ms)
            self._unopened[topic_partition] = problem
            raise
        with contextlib.suppress(UnknownTopic):  # it may have been altered meanwhile
            log.set_config(self._topics.by_id(topic.topic_id).config)
        hosted = HostedPartition(topic_partition, log, self._leader_epoch, self._broker_id)
        self._hosted[topic_partition] = hosted
        self._unopened.pop(topic_partition, None)
        return hosted

    async def log_end(self, topic_partition: TopicPartition) -> Offset:
        return (await self.hosted(topic_partition)).log.log_end_offset

    def append(
        self,
        topic_partition: TopicPartition,
        batch: Buffer,
        done: ReceiptCallback,
        *,
        acks: Acks,
        timeout_ms: int,
        partitioning_epoch: int | None = None,
    ) -> None:
        """With one replica both kinds of acks wait for the same: the high watermark."""
        try:
            topic = self._topics.by_id(topic_partition.topic_id)
            if topic.internal:
                raise AclDenied(
                    f"'{topic.name}' is written by logd alone",
                    operation="write",
                    resource=f"topic:{topic.name}",
                )
            if partitioning_epoch is not None and partitioning_epoch != topic.partitioning_epoch:
                raise StalePartitioning(
                    f"the partitions of '{topic.name}' have changed", epoch=topic.partitioning_epoch
                )
            self.append_batch(topic_partition, batch, done, timeout_ms=timeout_ms)
        except LogdError as error:
            done(error)

    def append_batch(
        self,
        topic_partition: TopicPartition,
        batch: Buffer,
        done: ReceiptCallback,
        *,
        timeout_ms: int,
    ) -> Appended:
        """Append at once; `done` is called when the high watermark is past it. Raises instead of
        calling `done` where nothing was appended."""
        if self._draining:
            raise BrokerDraining("the broker is shutting down")
        hosted = self.opened(topic_partition)
        log, now_ms = hosted.log, self._clock.wall_ms()
        limit = log.config.message_bytes_max
        header = check_produced(batch, message_bytes_max=limit, now_ms=now_ms)
        appended = log.append_leader(batch, header, hosted.leader_epoch, now_ms)
        if appended.base_offset is None:  # a duplicate too old to be remembered: long committed
            done(hosted.receipt(appended))
            return appended
        pending = PendingAppend(appended, done)
        hosted.pending.append(pending)
        if not appended.duplicate:
            self._flusher.mark_dirty(log)
            self._space.appended(log)
        if appended.next_offset <= log.held_end:
            hosted.advance(self.purgatory)
        if pending.done is not None:
            pending.timer = asyncio.get_running_loop().call_later(
                timeout_ms / 1000, pending.time_out, timeout_ms
            )
        return appended

    def opened(self, topic_partition: TopicPartition) -> HostedPartition:
        """A partition that `hosted` has opened. Raises UnknownTopic where it was deleted since."""
        hosted = self._hosted.get(topic_partition)
        if hosted is None:
            topic = self._topics.by_id(topic_partition.topic_id)
            raise UnknownTopic(f"topic '{topic.name}' is being deleted", topic=topic.name)
        return hosted

    def _synced(self, log: PartitionLog) -> None:
        hosted = self._hosted.get(log.topic_partition)
        if hosted and hosted.log is log:
            hosted.advance(self.purgatory)

    def _sync_failed(self, error: LogdError) -> None:
        for hosted in self._hosted.values():
            hosted.fail_pending(error)

    async def fetch(
        self, positions: Sequence[FetchPosition], wait: FetchWait, interrupt: FetchInterrupt
    ) -> Sequence[Fetched]:
        return await self._reader.fetch(positions, wait, interrupt)

    async def find_offset(self, topic_partition: TopicPartition, spec: OffsetSpec) -> FoundOffset:
        hosted = await self.hosted(topic_partition)
        log = hosted.log
        start, end = log.log_start_offset, hosted.high_watermark
        timestamp_ms = None
        if spec.at == "earliest":
            offset = start
        elif spec.at == "latest":
            offset = end
        elif spec.at == "offset":
            offset = Offset(min(max(spec.value, start), end))
        else:
            by_record_time = spec.at == "record_time"
            found = await self._pools.cold_read.run(
                lambda: log.find_offset_by_time(spec.value, by_record_time, end)
            )
            offset, timestamp_ms = found if found is not None else (end, None)
        where = topic_partition.partition
        return FoundOffset(where, offset, timestamp_ms, hosted.leader_epoch)

    async def bytes_between(
        self, topic_partition: TopicPartition, start: Offset, end: Offset
    ) -> int:
        log = (await self.hosted(topic_partition)).log
        if start >= end:
            return 0
        return await self._pools.cold_read.run(lambda: log.bytes_between(start, end))

    async def delete_records(
        self, topic_partition: TopicPartition, before: OffsetSpec, *, validate_only: bool = False
    ) -> tuple[Offset, int]:
        hosted = await self.hosted(topic_partition)
        start, end = hosted.log.log_start_offset, hosted.high_watermark
        if before.at == "offset" and before.value > end:
            raise OffsetOutOfRange(
                f"offset {before.value} lies beyond the log, which holds {start} to {end}: "
                f"say {end} or the latest to remove all",
                log_start_offset=start,
                high_watermark=end,
            )
        target = (await self.find_offset(topic_partition, before)).offset
        new_start = max(target, start)
        if not validate_only and new_start > start:
            before_offset = new_start
            new_start = await self._pools.maintenance.run(
                lambda: hosted.log.advance_log_start(before_offset)
            )
            self.purgatory.start_moved(topic_partition)
        return new_start, new_start - start

    async def read_stored(
        self, hosted: HostedPartition, offset: Offset, max_bytes: int, end: Offset
    ) -> bytes:
        """Whole batches from `offset`, below `end`, which may lie above the high watermark."""
        plan = hosted.log.plan_read(offset, max_bytes, end)
        if plan is None:
            return b""
        if isinstance(plan, Cold):
            cold = plan
            return bytes(await self._pools.cold_read.run(lambda: hosted.log.read(cold)))
        return bytes(hosted.log.read(plan))

    async def advance_log_start(
        self, topic_partition: TopicPartition, before_offset: Offset
    ) -> None:
        """Roll the active segment, then start the log at exactly `before_offset`."""
        hosted = await self.hosted(topic_partition)
        hosted.log.roll()
        await self._pools.maintenance.run(lambda: hosted.log.advance_log_start(before_offset))
        self.purgatory.start_moved(topic_partition)

    async def status(self, topic_partition: TopicPartition) -> PartitionStatus:
        hosted = await self.hosted(topic_partition)
        log = hosted.log
        return PartitionStatus(
            topic_partition=topic_partition,
            leader=self._broker_id,
            leader_epoch=hosted.leader_epoch,
            isr=(self._broker_id,),
            log_start_offset=log.log_start_offset,
            high_watermark=hosted.high_watermark,
            log_end_offset=log.log_end_offset,
            synced_end_offset=log.synced_end_offset,
            size_bytes=log.size_bytes,
            segments=log.segment_count,
        )
