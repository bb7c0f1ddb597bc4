"""Decides a commit: what is written, and what is refused of it. Writes nothing itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from logd.model.errors import (
    CommitBehind,
    FencedMember,
    GroupRewound,
    InvalidConfig,
    LogdError,
    OffsetOutOfRange,
    Overloaded,
)
from logd.model.group import (
    ATTEMPTS_MAX,
    DONE_RANGES_MAX,
    METADATA_BYTES_MAX,
    NEVER_REWOUND,
    OFFSETS_PER_COMMIT_MAX,
    CommitRequest,
    OffsetCommit,
    RewindEpoch,
)
from logd.model.ids import TopicPartition
from logd.model.topic import check_name
from logd_consumer_groups.core.consumers_seen import check_consumer
from logd_consumer_groups.core.group_image import Position
from logd_consumer_groups.core.group_state import GroupState
from logd_consumer_groups.core.offset_records import CommitRecord

OFFSET_MAX = 1 << 62
ATTEMPT_COUNT_MAX = (1 << 32) - 1
GROUP_STATE_BYTES_MAX = 4 << 20
"""A group's committed offsets, notes and done ranges together. With its history it must fit into
one record, below the offsets topic's message_bytes_max of 8 MiB."""


def check_commit_request(request: CommitRequest) -> None:
    """What needs no state. Raises InvalidName, InvalidConfig, Overloaded."""
    check_name(request.group, "group")
    check_consumer(request.consumer)
    if len(request.commits) > OFFSETS_PER_COMMIT_MAX:
        raise Overloaded(
            f"a commit takes {OFFSETS_PER_COMMIT_MAX} offsets at most; send several",
            limit="OFFSETS_PER_COMMIT_MAX",
        )


def check_rewind_epoch(state: GroupState, sent: RewindEpoch | None) -> None:
    """Raises GroupRewound where the caller's positions are from before a rewind, or where it does
    not say and there was one."""
    current = state.rewind_epoch
    if sent == current or (sent is None and current == NEVER_REWOUND):
        return
    raise GroupRewound(
        f"group '{state.name}' was rewound since these positions were read (its rewind epoch is "
        f"{current}, the commit has {'none' if sent is None else sent}); nothing was committed: "
        "fetch the group's offsets and read on from there",
        group=state.name,
        rewind_epoch=current,
    )


def check_owner(state: GroupState, where: TopicPartition, request: CommitRequest) -> None:
    """A member commits what it owns, and owned already when it was told `member_epoch`; who is no
    member, what no member owns. Raises FencedMember."""
    owner = state.table.owners.get(where)
    if request.member_epoch is None:
        fenced = owner is not None
    else:
        fenced = (
            owner is None
            or owner.member_id != request.consumer.consumer_id
            or owner.epoch > request.member_epoch
        )
    if fenced:
        has = "no member has it now" if owner is None else f"member '{owner.member_id}' has it"
        if owner is not None and owner.member_id == request.consumer.consumer_id:
            has += " anew, since somebody else had it in between"
        raise FencedMember(
            f"nothing was committed for partition {where.partition}: {has}",
            group=state.name,
            member_id="" if owner is None else owner.member_id,
        )


@dataclass(slots=True)
class CommitDecision:
    """The commit of one request against one state. `records` are what is to be appended;
    `refusals` are of partitions that there are not.

    No log is asked: other brokers may lead them. An offset beyond the end of its log is taken, and
    the lag report says so.
    """

    state: GroupState
    request: CommitRequest
    refusals: Mapping[TopicPartition, LogdError]
    now_ms: int
    records: list[CommitRecord] = field(default_factory=list)
    _pending: dict[TopicPartition, Position] = field(default_factory=dict)
    _added_bytes: int = 0

    def decide(self) -> tuple[LogdError | None, ...]:
        """One result a commit, in order. Raises GroupRewound for the whole."""
        check_rewind_epoch(self.state, self.request.rewind_epoch)
        return tuple(self._decide_one(commit) for commit in self.request.commits)

    def _decide_one(self, commit: OffsetCommit) -> LogdError | None:
        try:
            self._check(commit)
            self._accept(commit)
        except LogdError as error:
            return error
        return None

    def _check(self, commit: OffsetCommit) -> None:
        where = commit.topic_partition
        if where in self.refusals:
            raise self.refusals[where]
        check_owner(self.state, where, self.request)
        if not 0 <= commit.offset <= OFFSET_MAX:
            raise OffsetOutOfRange(
                f"offset {commit.offset} of partition {where.partition} cannot be committed: "
                "offsets are 0 to 2^62"
            )
        if len(commit.metadata.encode()) > METADATA_BYTES_MAX:
            raise InvalidConfig(
                f"metadata of a commit takes {METADATA_BYTES_MAX} bytes at most", field="metadata"
            )
        _check_done_ranges(commit)
        _check_attempts(commit)

    def _accept(self, commit: OffsetCommit) -> None:
        where = commit.topic_partition
        before = self._pending.get(where) or self.state.offsets.get(where)
        went_back = before is not None and commit.offset < before.offset
        if before is not None and went_back and not self.request.allow_rewind:
            raise CommitBehind(
                f"group '{self.state.name}' has committed {before.offset} of partition "
                f"{where.partition}, which is beyond {commit.offset}; set allow_rewind to go back",
                committed=before.offset,
            )
        moved = before is None or commit.offset != before.offset
        position = Position(
            offset=commit.offset,
            committed_ms=self.now_ms,
            since_ms=self.now_ms if moved or before is None else before.since_ms,
            leader_epoch=-1 if commit.leader_epoch is None else commit.leader_epoch,
            metadata=commit.metadata,
            done_ranges=commit.done_ranges,
            attempts=commit.attempts,
        )
        if before is not None and _same(before, position):
            return
        added = position.size_bytes - (0 if before is None else before.size_bytes)
        if added > 0 and self.state.offsets_bytes + self._added_bytes + added > (
            GROUP_STATE_BYTES_MAX
        ):
            raise Overloaded(
                f"the offsets and notes of group '{self.state.name}' take "
                f"{GROUP_STATE_BYTES_MAX} bytes at most",
                limit="GROUP_STATE_BYTES_MAX",
            )
        self._added_bytes += added
        self._pending[where] = position
        actor = self.request.consumer.consumer_id if went_back else ""
        self.records.append(CommitRecord(self.state.name, where, position, went_back, actor))


def _same(before: Position, after: Position) -> bool:
    """A commit that says nothing new is not written."""
    return replace(before, committed_ms=0, since_ms=0) == replace(after, committed_ms=0, since_ms=0)


def _check_done_ranges(commit: OffsetCommit) -> None:
    if len(commit.done_ranges) > DONE_RANGES_MAX:
        raise InvalidConfig(
            f"a commit takes {DONE_RANGES_MAX} done ranges at most", field="done_ranges"
        )
    end = int(commit.offset)
    for done in commit.done_ranges:
        if not end <= done.start < done.end <= OFFSET_MAX:
            raise InvalidConfig(
                f"done range {done.start} to {done.end} is not in order behind the committed "
                f"offset {commit.offset}",
                field="done_ranges",
            )
        end = done.end


def _check_attempts(commit: OffsetCommit) -> None:
    if len(commit.attempts) > ATTEMPTS_MAX:
        raise InvalidConfig(
            f"a commit tells of {ATTEMPTS_MAX} records that failed at most", field="attempts"
        )
    before = int(commit.offset) - 1
    for each in commit.attempts:
        if not (before < each.offset < OFFSET_MAX and 1 <= each.times <= ATTEMPT_COUNT_MAX):
            raise InvalidConfig(
                f"the attempts of offset {each.offset} ({each.times}) are not in order from the "
                f"committed offset {commit.offset} on",
                field="attempts",
            )
        before = each.offset
