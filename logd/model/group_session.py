"""What a group's member and its coordinator say to each other, as door and coordinator see it.

Each side always says all of its state, so that any message may be lost, repeated or late.
"""

from dataclasses import dataclass
from typing import NewType

from logd.model.errors import LogdError
from logd.model.group import Attempts, CommitRequest, DoneRange, Subscription
from logd.model.group_replay import ReplayPace
from logd.model.ids import LeaderEpoch, Offset, TopicPartition

GroupEpoch = NewType("GroupEpoch", int)
"""A record's place in the group's partition of __consumer_offsets, as one number: later records
have higher ones, also after an election and after the group was deleted."""

NO_GROUP_EPOCH = GroupEpoch(0)
EPOCH_OFFSET_BITS = 40
TIMEOUT_MS_MAX = 86_400_000


def group_epoch(leader_epoch: LeaderEpoch, offset: Offset) -> GroupEpoch:
    """The epoch of the record at `offset` of a batch of `leader_epoch`."""
    return GroupEpoch((leader_epoch << EPOCH_OFFSET_BITS) + offset)


@dataclass(frozen=True, slots=True)
class HeldPartition:
    """A partition that a member holds. `stalled_ms`: for so long the application has not come back
    from a record of it; 0: it has. `reached`: `Grant.report_at`, once it has come so far.
    `problem`: why it cannot be read on; "": it can. `finished`: all up to `Grant.end` is done."""

    topic_partition: TopicPartition
    paused: bool = False
    stalled_ms: int = 0
    reached: Offset | None = None
    problem: str = ""
    finished: bool = False


@dataclass(frozen=True, slots=True)
class SessionMessage:
    """What a member says.

    `commit` has the group, who speaks, and the last commits of what is given up by this message;
    its `member_epoch` is the highest that the member was told. `subscription` None: as it was.
    """

    commit: CommitRequest
    held: tuple[HeldPartition, ...] = ()
    subscription: Subscription | None = None
    instance_id: str = ""
    client_id: str = ""
    stalled: bool = False

    @property
    def group(self) -> str:
        return self.commit.group

    @property
    def member_id(self) -> str:
        return self.commit.consumer.consumer_id

    @property
    def member_epoch(self) -> GroupEpoch:
        return GroupEpoch(self.commit.member_epoch or 0)


@dataclass(frozen=True, slots=True)
class GrantPosition:
    """Where a partition begins for its member. `offset` None: nothing was committed, and
    `from_beginning` says whether the partition is younger than the group's subscription."""

    offset: Offset | None
    leader_epoch: LeaderEpoch | None = None
    done_ranges: tuple[DoneRange, ...] = ()
    attempts: tuple[Attempts, ...] = ()
    from_beginning: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """A partition that a member has since `epoch`. `position` None: it holds it, and goes on.
    `report_at`: a partition split off it waits until the member says that it has come so far.
    `end`: nothing is read from there on, for it is replayed."""

    topic_partition: TopicPartition
    topic: str
    epoch: GroupEpoch
    position: GrantPosition | None
    report_at: Offset | None = None
    end: Offset | None = None


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    """What a member is told: all that it has. `committed`: how its last commits were taken. `lost`:
    what it said that it holds, and does not have any more. `replay`: records are due by its clock.
    """

    member_epoch: GroupEpoch
    rewind_epoch: int
    grants: tuple[Grant, ...]
    committed: tuple[tuple[TopicPartition, LogdError | None], ...] = ()
    warnings: tuple[str, ...] = ()
    lost: tuple[TopicPartition, ...] = ()
    replay: ReplayPace | None = None
    replay_over: bool = False
