"""One group: its committed offsets, its rewind epoch, its history, and what it replays."""

from dataclasses import dataclass, field

from logd.model.group import NEVER_REWOUND, RewindEpoch
from logd.model.group_replay import Replay
from logd.model.ids import Offset, TopicPartition
from logd_consumer_groups.core.group_image import (
    GroupImage,
    Position,
    RewindBody,
    RewindEntry,
    RewindEvent,
)
from logd_consumer_groups.core.member_table import MemberTable
from logd_consumer_groups.core.offset_records import CommitRecord, RewindRecord
from logd_consumer_groups.core.replays import replay_bytes

HISTORY_EVENTS_MAX = 64
HISTORY_ENTRIES_MAX = 20_000
"""Partitions in all events together. Beyond either bound the oldest commit that went back is
forgotten, or the oldest event where there is none; the latest event always stays."""


@dataclass(slots=True)
class GroupState:
    """A group as the log tells it.

    Only `replay_*` change it, and they never refuse: what is in the log has happened. Two replays
    of the same records give equal states.
    """

    name: str
    offsets: dict[TopicPartition, Position] = field(default_factory=dict)
    rewind_epoch: RewindEpoch = NEVER_REWOUND
    history: list[RewindEvent] = field(default_factory=list)
    table: MemberTable = field(default_factory=MemberTable)
    replay: Replay | None = None
    offsets_bytes: int = 0
    history_bytes: int = 0

    @property
    def state_bytes(self) -> int:
        """Size of its image, nearly."""
        replay = 0 if self.replay is None else replay_bytes(self.replay)
        known = self.offsets_bytes + self.history_bytes + self.table.size_bytes + replay
        return 64 + len(self.name) + known

    @property
    def committed_ms(self) -> int:
        """When it last committed; 0: never."""
        return max((position.committed_ms for position in self.offsets.values()), default=0)

    def committed(self, topic_partition: TopicPartition) -> Offset | None:
        position = self.offsets.get(topic_partition)
        return None if position is None else position.offset

    def replay_commit(self, record: CommitRecord) -> None:
        before = self.committed(record.topic_partition)
        self._put(record.topic_partition, record.position)
        if record.went_back:
            entry = RewindEntry(record.topic_partition, before, record.position.offset)
            self._remember_commit(record, entry)

    def replay_rewind(self, record: RewindRecord, epoch: RewindEpoch) -> None:
        at_ms = record.body.at_ms
        for entry in record.body.entries:
            if entry.to_offset is None:
                self._drop(entry.topic_partition)
            else:
                self._put(entry.topic_partition, Position(entry.to_offset, at_ms, at_ms))
        self.rewind_epoch = epoch
        self._remember(RewindEvent(self.rewind_epoch, record.kind, record.body))

    def latest_reset(self) -> tuple[RewindEvent | None, bool]:
        """The latest reset that the history knows, and whether an undo took it back."""
        undone: set[RewindEpoch] = set()
        for event in reversed(self.history):
            if event.kind == "UNDO":
                undone.add(event.body.undoes)
            elif event.kind == "RESET":
                return event, event.rewind_epoch in undone
        return None, False

    def image(self) -> GroupImage:
        return GroupImage(
            self.name,
            self.rewind_epoch,
            tuple(sorted(self.offsets.items(), key=lambda item: item[0])),
            tuple(self.history),
            self.table.copy(),
            self.replay,
        )

    @staticmethod
    def of_image(image: GroupImage) -> "GroupState":
        return GroupState(
            name=image.name,
            offsets=dict(image.offsets),
            rewind_epoch=image.rewind_epoch,
            history=list(image.events),
            table=image.table.copy(),
            replay=image.replay,
            offsets_bytes=sum(position.size_bytes for _, position in image.offsets),
            history_bytes=sum(event.body.size_bytes for event in image.events),
        )

    def _put(self, topic_partition: TopicPartition, position: Position) -> None:
        self._drop(topic_partition)
        self.offsets[topic_partition] = position
        self.offsets_bytes += position.size_bytes

    def _drop(self, topic_partition: TopicPartition) -> None:
        before = self.offsets.pop(topic_partition, None)
        if before is not None:
            self.offsets_bytes -= before.size_bytes

    def _remember_commit(self, record: CommitRecord, entry: RewindEntry) -> None:
        """Partitions of one commit, which are records of their own, become one event."""
        at_ms = record.position.committed_ms
        entries: tuple[RewindEntry, ...] = (entry,)
        latest = self.history[-1] if self.history else None
        if (
            latest is not None
            and latest.kind == "COMMIT"
            and (latest.body.at_ms, latest.body.actor) == (at_ms, record.actor)
        ):
            self.history.pop()
            self.history_bytes -= latest.body.size_bytes
            entries = latest.body.entries + entries
        body = RewindBody(at_ms, "a commit that went back", record.actor, entries)
        self._remember(RewindEvent(self.rewind_epoch, "COMMIT", body))

    def _remember(self, event: RewindEvent) -> None:
        self.history.append(event)
        self.history_bytes += event.body.size_bytes
        while len(self.history) > 1 and (
            len(self.history) > HISTORY_EVENTS_MAX
            or sum(len(e.body.entries) for e in self.history) > HISTORY_ENTRIES_MAX
        ):
            self.history_bytes -= self.history.pop(self._oldest_dispensable()).body.size_bytes

    def _oldest_dispensable(self) -> int:
        for index, event in enumerate(self.history[:-1]):
            if event.kind == "COMMIT":
                return index
        return 0
