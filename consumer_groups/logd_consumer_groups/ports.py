"""The coordinator's outside world, as Protocols: the log of its state, the logs it talks about.

All of it is called on the broker's loop. `logd.broker` adapts the partition host to these.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from logd.model.errors import LogdError
from logd.model.group import LogBounds
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd.model.topic import Topic


@dataclass(frozen=True, slots=True)
class Appended:
    """Records that stand in the log, not yet safely.

    `committed` completes once the high watermark is past them and raises a LogdError where that
    cannot be known to happen. The coordinator looks at it, whatever becomes of the call that caused
    the append.
    """

    base_offset: Offset
    leader_epoch: LeaderEpoch
    committed: asyncio.Future[None]


class OffsetsLog(Protocol):
    """The partitions of __consumer_offsets that this broker leads.

    The topic never drops records by time or size (`retention_ms` and `retention_bytes` -1): the
    coordinator keeps it short through `advance_log_start`. Its durability is fsync, its segments
    are 16 MiB.
    """

    def append(
        self, partition: PartitionId, records: Sequence[tuple[bytes, bytes | None]]
    ) -> Appended:
        """Append (key, value) pairs as one batch: all or none, offsets dense from `base_offset`.

        The records are in the log when this returns; calls made in order are appended in order.
        A LogdError (LogReadOnly, StorageFull, NotLeader, ...) means that none is to be relied on.
        """
        ...

    def read(
        self, partition: PartitionId, offset: Offset
    ) -> AsyncIterator[tuple[Offset, LeaderEpoch, bytes, bytes | None]]:
        """Every record, with the epoch of its batch, from `offset`, or from the log start if that
        is higher, to the log end as it is at the call, above the high watermark too; records of a
        batch below the start are left out. It finishes once the high watermark has reached that
        end, so that what was loaded is committed; where it never will (the log is read-only), it
        ends at the high watermark.

        Called without `await`, as an async generator is. Raises StoredDataCorrupt, NotLeader.
        """
        ...

    async def advance_log_start(self, partition: PartitionId, before_offset: Offset) -> None:
        """Roll the segment, then move the log start to exactly `before_offset`, durably; segments
        that lie wholly below it go. The caller says that `before_offset` is below the high
        watermark."""
        ...

    def size_bytes(self, partition: PartitionId) -> int:
        """Stored bytes from the log start to the log end by the index: not the size of the files,
        of which the first may begin far below the log start."""
        ...


class LogView(Protocol):
    """Topics and the state of their partitions, whoever leads them."""

    def by_id(self, topic_id: TopicId) -> Topic:
        """Raises UnknownTopic."""
        ...

    def find(self, name: str) -> Topic | None:
        """One that is ready, by its exact name."""
        ...

    def all(self) -> Sequence[Topic]:
        """Every topic that is ready: the same object while none changes."""
        ...

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, LogBounds | LogdError]:
        """An entry for each: log start and high watermark, or why they are not known (UnknownTopic,
        UnknownPartition, LeaderNotAvailable, ...)."""
        ...

    async def offset_at_time(
        self, topic_partition: TopicPartition, time_ms: int, *, by_record_time: bool
    ) -> Offset:
        """First offset at or after a time by append (or record) time; the high watermark if none
        is."""
        ...

    async def append_time_ms(self, topic_partition: TopicPartition, offset: Offset) -> int | None:
        """When the batch with this record was appended; None at the high watermark and beyond, and
        where what stands there is damaged."""
        ...

    async def bytes_between(
        self, topic_partition: TopicPartition, start: Offset, end: Offset
    ) -> int:
        """Stored bytes of [start, end), which lies within the log, by the index."""
        ...
