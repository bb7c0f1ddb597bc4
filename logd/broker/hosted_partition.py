"""One partition that this broker leads: its log, and the appends that wait for their receipt."""

from asyncio import TimerHandle
from collections import deque
from collections.abc import Callable

from logd.broker.core.purgatory import Purgatory
from logd.broker.ports import Receipt
from logd.model.errors import AckTimeout, LogdError
from logd.model.ids import BrokerId, LeaderEpoch, Offset, TopicPartition
from logd_partitions.log_tail import Appended
from logd_partitions.partition_log import PartitionLog
from logd_replication.core.high_watermark import HighWatermark

ReceiptCallback = Callable[[Receipt | LogdError], None]


class PendingAppend:
    """An append below which the high watermark still lies. `done` None: answered already."""

    __slots__ = ("appended", "done", "timer")

    def __init__(self, appended: Appended, done: ReceiptCallback) -> None:
        self.appended = appended
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
    """A PartitionLog with its high watermark and the appends that wait for it, in order of their
    offsets. On the loop only.

    A duplicate waits behind what was appended before it came: its offsets are lower, so it may wait
    longer than it must, never shorter.
    """

    __slots__ = (
        "_broker_id",
        "_watermark",
        "leader_epoch",
        "log",
        "marked_ends",
        "pending",
        "topic_partition",
    )

    def __init__(
        self,
        topic_partition: TopicPartition,
        log: PartitionLog,
        leader_epoch: LeaderEpoch,
        broker_id: BrokerId,
    ) -> None:
        self.topic_partition = topic_partition
        self.log = log
        self.leader_epoch = leader_epoch
        self._broker_id = broker_id
        self._watermark = HighWatermark(log.held_end, [broker_id])
        self.pending: deque[PendingAppend] = deque()
        self.marked_ends = log.log_end_offset, log.log_end_offset
        """Where the log ended at TopicSizes' mark before the last, and at the last, or where it
        was opened since."""

    @property
    def high_watermark(self) -> Offset:
        """All below it is committed."""
        return self._watermark.offset

    @property
    def readable_end(self) -> Offset:
        """How far a client may read, exclusive, whatever its isolation: there are no transactions,
        so nothing is committed that is not read_committed. Nobody else decides it."""
        return self._watermark.offset

    def advance(self, purgatory: Purgatory) -> None:
        """Let the high watermark follow what is held, and answer every append below it.

        Readers are woken before writers have their receipts.
        """
        old = self._watermark.offset
        high_watermark = self._watermark.holds(self._broker_id, self.log.held_end)
        answerable: list[PendingAppend] = []
        while self.pending and self.pending[0].appended.next_offset <= high_watermark:
            answerable.append(self.pending.popleft())
        if high_watermark > old:
            purgatory.advanced(
                self.topic_partition, old, high_watermark, self.log.hot_bytes_between
            )
        for pending in answerable:
            pending.answer(self.receipt(pending.appended))

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
