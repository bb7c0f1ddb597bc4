"""A coordinator over logs in memory."""

from dataclasses import dataclass, field

from harness.manual_clock import ManualClock
from harness.memory_log_view import MemoryLogView
from harness.memory_offsets_log import MemoryOffsetsLog
from logd.model.group import (
    OFFSETS_PARTITIONS,
    CommitAnswer,
    CommitRequest,
    Consumer,
    OffsetCommit,
    RewindEpoch,
)
from logd.model.ids import Offset, PartitionId, TopicPartition
from logd.system.background_tasks import BackgroundTasks
from logd_consumer_groups.group_coordinator import GroupCoordinator


@dataclass
class GroupBench:
    """The coordinator with its world, and short words for what tests do often."""

    clock: ManualClock = field(default_factory=ManualClock)
    log: MemoryOffsetsLog = field(default_factory=MemoryOffsetsLog)

    def __post_init__(self) -> None:
        self.view = MemoryLogView(self.clock)
        self.tasks = BackgroundTasks(self.clock)
        self.groups = GroupCoordinator(self.log, self.view, self.clock, self.tasks)

    async def start(self) -> None:
        for number in range(OFFSETS_PARTITIONS):
            self.groups.lead(PartitionId(number))
        await self.groups.loaded()

    async def restart(self, log: MemoryOffsetsLog | None = None) -> None:
        """A new coordinator over the same logs."""
        await self.groups.close()
        self.log = log or self.log
        self.groups = GroupCoordinator(self.log, self.view, self.clock, self.tasks)
        await self.start()

    async def commit(
        self,
        group: str,
        offsets: dict[TopicPartition, int],
        epoch: int | None = None,
        *,
        allow_rewind: bool = False,
        consumer: str = "",
        validate_only: bool = False,
    ) -> CommitAnswer:
        return await self.groups.commit_offsets(
            CommitRequest(
                group,
                tuple(OffsetCommit(where, Offset(offset)) for where, offset in offsets.items()),
                None if epoch is None else RewindEpoch(epoch),
                allow_rewind,
                Consumer(consumer, "peer"),
                validate_only,
            )
        )

    async def offsets(self, group: str) -> dict[TopicPartition, int]:
        found = await self.groups.fetch_offsets(group, (), Consumer())
        return {o.topic_partition: o.offset for o in found.offsets if o.offset is not None}
