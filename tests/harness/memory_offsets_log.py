"""The offsets topic in memory, which can hold its high watermark back, fail, and lose its tail."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from logd.model.errors import LogdError, NotLeader
from logd.model.ids import LeaderEpoch, Offset, PartitionId
from logd_consumer_groups.ports import Appended

RECORD_OVERHEAD_BYTES = 32


@dataclass(slots=True)
class MemoryPartition:
    records: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    start: int = 0
    high_watermark: int = 0
    waiting: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)


class MemoryOffsetsLog:
    """Implements `logd_consumer_groups.ports.OffsetsLog`.

    With `hold` set, appends wait for `release()`. `fail_append` is raised by the next append,
    before or, with `fail_after_append`, after the records are in the log. A partition in
    `led_elsewhere` raises NotLeader.
    """

    def __init__(self) -> None:
        self.partitions: dict[int, MemoryPartition] = {}
        self.hold = False
        self.fail_append: LogdError | None = None
        self.fail_after_append = False
        self.fail_read: Exception | None = None
        self.led_elsewhere: set[int] = set()
        self.trims: list[tuple[int, int]] = []
        self.leader_epoch = LeaderEpoch(0)

    def partition(self, number: int) -> MemoryPartition:
        return self.partitions.setdefault(number, MemoryPartition())

    def append(
        self, partition: PartitionId, records: Sequence[tuple[bytes, bytes | None]]
    ) -> Appended:
        self._check_leader(partition)
        one, error = self.partition(partition), self.fail_append
        self.fail_append = None
        if error is not None and not self.fail_after_append:
            raise error
        base_offset = len(one.records)
        one.records.extend(records)
        if error is not None:
            raise error
        committed = asyncio.get_running_loop().create_future()
        one.waiting.append((len(one.records), committed))
        if not self.hold:
            self.release()
        return Appended(Offset(base_offset), self.leader_epoch, committed)

    async def read(
        self, partition: PartitionId, offset: Offset
    ) -> AsyncIterator[tuple[Offset, LeaderEpoch, bytes, bytes | None]]:
        self._check_leader(partition)
        if self.fail_read is not None:
            raise self.fail_read
        one = self.partition(partition)
        end = len(one.records)
        for at in range(max(offset, one.start), end):
            yield Offset(at), self.leader_epoch, *one.records[at]
            if at % 7 == 0:
                await asyncio.sleep(0)
        one.high_watermark = max(one.high_watermark, end)

    async def advance_log_start(self, partition: PartitionId, before_offset: Offset) -> None:
        one = self.partition(partition)
        assert before_offset <= one.high_watermark
        one.start = before_offset
        self.trims.append((partition, before_offset))

    def size_bytes(self, partition: PartitionId) -> int:
        one = self.partition(partition)
        return sum(
            RECORD_OVERHEAD_BYTES + len(key) + len(value or b"")
            for key, value in one.records[one.start :]
        )

    def release(self) -> None:
        """Let the high watermark reach the log end."""
        for one in self.partitions.values():
            one.high_watermark = len(one.records)
            waiting, one.waiting = one.waiting, []
            for _, committed in waiting:
                if not committed.done():
                    committed.set_result(None)

    def fail_commits(self, error: LogdError, *, lose_tail: bool) -> None:
        """What waits is never committed; with `lose_tail` it is gone from the log as well."""
        for one in self.partitions.values():
            waiting, one.waiting = one.waiting, []
            if lose_tail:
                del one.records[one.high_watermark :]
            for _, committed in waiting:
                if not committed.done():
                    committed.set_exception(error)

    def copy(self, records: int | None = None) -> "MemoryOffsetsLog":
        """What a crash leaves; of every partition only the first `records`, if given."""
        copied = MemoryOffsetsLog()
        for number, one in self.partitions.items():
            kept = one.records[:records]
            copied.partitions[number] = MemoryPartition(list(kept), one.start, len(kept))
        return copied

    def _check_leader(self, partition: PartitionId) -> None:
        if partition in self.led_elsewhere:
            raise NotLeader("another broker leads this partition", leader=2)
