"""One partition that this broker leads: its log, and the appends that wait for their receipt."""

from asyncio import TimerHandle
from collections import deque
from collections.abc import Callable

from logd.broker.ports import Receipt
from logd.model.errors import AckTimeout, LogdError
from logd.model.ids import LeaderEpoch, Offset, TopicPartition
from logd_partitions.partition_log import Appended, PartitionLog

ReceiptCallback = Callable[[Receipt | LogdError], None]


class PendingAppend:
    """An append below which the high watermark still lies. `done` None: answered already."""

    __slots__ = ("appended", "batch_bytes", "done", "timer")

    def __init__(self, appended: Appended, batch_bytes: int, done: ReceiptCallback) -> None:
        self.appended = appended
        self.batch_bytes = batch_bytes
        self.done: ReceiptCallback | None = done
        self.timer: TimerHandle | None = None

    def answer(self, result: Receipt | LogdError) -> None:
        """Answer once; later calls do nothing."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.done is not None:
            done, self.done = self.done, None
            done(result)

    def time_out(self, timeout_ms: int) -> None:
        """The time for its acknowledgement is over."""
        self.answer(
            AckTimeout(
                f"appended, but not synced within {timeout_ms} ms",
                base_offset=self.appended.base_offset,
            )
        )


class HostedPartition:
    """A PartitionLog with its waiting appends, in order of their offsets. On the loop only.

    A duplicate waits behind what was appended before it came: its offsets are lower, so it may wait
    longer than it must, never shorter.
    """

    __slots__ = ("leader_epoch", "log", "marked_ends", "pending", "topic_partition")

    def __init__(
        self, topic_partition: TopicPartition, log: PartitionLog, leader_epoch: LeaderEpoch
    ) -> None:
        self.topic_partition = topic_partition
        self.log = log
        self.leader_epoch = leader_epoch
        self.pending: deque[PendingAppend] = deque()
        self.marked_ends = log.log_end_offset, log.log_end_offset
        """Where the log ended at TopicSizes' mark before the last, and at the last, or where it
        was opened since."""

    @property
    def high_watermark(self) -> Offset:
        """With one replica: what the topic's durability counts as safely held."""
        return self.log.high_watermark

    def advance(self, committed: Callable[[int], object] = lambda _: None) -> int:
        """Answer every append below the high watermark; returns the bytes it moved over, of which
        `committed` is told first: readers are woken before writers have their receipts."""
        high_watermark, moved_bytes = self.log.high_watermark, 0
        answerable: list[PendingAppend] = []
        while self.pending and self.pending[0].appended.next_offset <= high_watermark:
            answerable.append(self.pending.popleft())
            moved_bytes += answerable[-1].batch_bytes
        if moved_bytes:
            committed(moved_bytes)
        for pending in answerable:
            pending.answer(self.receipt(pending.appended))
        return moved_bytes

    def fail_pending(self, error: LogdError) -> None:
        while self.pending:
            self.pending.popleft().answer(error)

    def receipt(self, appended: Appended) -> Receipt:
        return Receipt(
            base_offset=appended.base_offset,
            leader_epoch=appended.leader_epoch,
            append_timestamp_ms=appended.append_timestamp_ms,
            log_start_offset=self.log.log_start_offset,
            duplicate=appended.duplicate,
            replicas=1,
            replicas_synced=int(appended.next_offset <= self.log.synced_end_offset),
        )
