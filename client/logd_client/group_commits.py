"""A consumer's dealings with its group: where it starts, what it has done, and rewinds."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from logd.model.checked_values import check_int
from logd.model.errors import (
    FencedMember,
    GroupRewound,
    InvalidConfig,
    LogdError,
    UnknownPartition,
    UnknownTopic,
)
from logd_client.broker_connection import BrokerConnection
from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.done_ranges import DoneRanges
from logd_client.core.partition_position import PartitionPosition
from logd_client.diagnostics import logger
from logd_client.record import Record
from logd_client.topic_admin import error_of
from logd_proto.v1 import common_pb2, groups_pb2

Offsets = Mapping[tuple[str, int], int]
"""(topic, partition) -> the next offset to read."""

Commit = tuple[PartitionPosition, groups_pb2.OffsetCommit]

LAST_COMMIT_MS = 5_000
LAST_COMMIT_UNREACHABLE_MS = 1_000
"""A consumer that leaves does not wait longer for its last commit, or for a broker that cannot be
reached: its group reads again what this commit would have told."""


class GroupCommits:
    """Commits for one consumer of one group; one commit at a time, in order.

    Each commit carries the rewind epoch that the positions were read under. If the group has been
    rewound since, the coordinator applies nothing: buffers are dropped and positions read again.
    Offsets fall only where the application sought, or auto_offset_reset was applied.

    A member's positions and epochs come by its session instead (`told`); it commits with the epoch
    that it was told last, and after a rewind waits for what the session says.
    """

    def __init__(
        self,
        connection: BrokerConnection,
        positions: ConsumerPositions,
        group: str,
        consumer_id: str,
    ) -> None:
        self.connection = connection
        self._positions = positions
        self._group = group
        self._consumer_id = consumer_id
        self._rewind_epoch = -1
        self._member_epoch: int | None = None
        self.rewound = False
        """Of a member: a commit has learnt of a rewind, and the session not yet where to go on."""
        self.one_at_a_time = asyncio.Lock()
        """Held while a commit is on its way."""
        self.on_fenced: Callable[[PartitionPosition], None] = lambda at: None
        """Told of each partition that another member has."""
        self._warned = False

    async def start(self, assigned: Sequence[PartitionPosition], *, added: bool = False) -> None:
        """Place these at their committed offsets, the others by auto_offset_reset.

        `added` partitions did not exist when the consumer started: without a committed offset they
        start at their beginning, or records would be missed.
        """
        found = await self._fetch(assigned)
        for at in assigned:
            each = found.get((at.topic_id, at.partition))
            if each is None:
                at.committed = None
                self._positions.place_by_reset(at, earliest=added)
            else:
                placed(self._positions, at, each)

    def told(self, member_epoch: int, rewind_epoch: int) -> bool:
        """What a member's commits are to be sent with from now on. Whether a commit has learnt of a
        rewind before, and positions were forgotten then."""
        forgotten, self._member_epoch = self.rewound, member_epoch
        if self._rewind_epoch != rewind_epoch:
            self._rewind_epoch, self.rewound = rewind_epoch, False
        return forgotten

    async def commit_falling(self, given_up: Collection[PartitionPosition]) -> None:
        """Of what a member is about to give up: offsets that fall, since the application sought,
        which no last message can carry. The caller holds `one_at_a_time`."""
        falling = [each for each in self._committable(given_up) if _falls(*each)]
        if not falling:
            return
        try:
            errors = await self._send(falling, allow_rewind=True)
        except LogdError as failed:
            errors = [failed]
        for error in errors:
            logger.warning("last_commit_refused", group=self._group, error=error.message)

    def last_commits(self, given_up: Collection[PartitionPosition]) -> list[Commit]:
        """What a member's last message says of what it gives up."""
        offsets = self._committable(given_up)
        return [
            (at, _offset_commit(at, offset)) for at, offset in offsets if not _falls(at, offset)
        ]

    def _committable(
        self, of: Collection[PartitionPosition]
    ) -> list[tuple[PartitionPosition, int]]:
        wanted = set(of)
        return [(at, offset) for at, offset in self._positions.committable() if at in wanted]

    async def commit(
        self,
        upto: Offsets | None = None,
        *,
        with_offsets: bool = True,
        leaving: bool = False,
    ) -> bool:
        """Commit what is done, or `upto` these offsets, which were received since the last rewind
        or seek, or nothing is committed. Sent also where nothing is new, so that a rewind is learnt
        of.

        Without offsets that is all it does; `leaving` says goodbye. False: the group was rewound,
        nothing was committed, and the consumer goes on from the group's new position. Raises the
        error of the first partition that was refused, FencedMember where another member has it.
        """
        due = self._positions.committable() if upto is None and with_offsets else []
        async with self.one_at_a_time:
            if upto is None:
                offsets = self._positions.committable() if with_offsets else []
            elif (found := self._done_until(upto)) is None:
                return False
            else:
                offsets = found
            falling = [entry for entry in offsets if _falls(*entry)]
            rising = [entry for entry in offsets if not _falls(*entry)]
            read_under = self._rewind_epoch
            try:
                errors = await self._send(rising, leaving=leaving)
                if falling:
                    errors += await self._send(falling, allow_rewind=True, leaving=leaving)
            except GroupRewound:
                if not leaving and read_under == self._rewind_epoch and not self.rewound:
                    await self._go_on_from_rewind()
                return False
        errors += [self._not_ours(at.topic, at.partition) for at, _ in due if at.lost]
        if errors:
            raise errors[0]
        return True

    async def _go_on_from_rewind(self) -> None:
        effect = "nothing was committed; goes on from the group's new offsets"
        logger.info("group_rewound", group=self._group, effect=effect)
        self._positions.forget_all()
        if self._member_epoch is None:
            await self.start(list(self._positions))
        else:
            self.rewound = True  # the session brings the new positions

    def _done_until(self, offsets: Offsets) -> list[tuple[PartitionPosition, int]] | None:
        """Everything before these is done, whatever is done by what was handed out: the offsets to
        commit. None: one lies behind the position, so it is from before a rewind or seek.

        Where more is committed already, and nobody went back, there is nothing to commit.
        """
        positions = self._positions
        found = [(self._at(*key), check_int("offset", upto, 0)) for key, upto in offsets.items()]
        if any(not at.known or offset > positions.position(at) for at, offset in found):
            return None
        for at, offset in found:
            at.done_until = max(at.done_until, offset)
        return [
            (at, offset)
            for at, offset in found
            if at.committed is None or not offset <= at.committed <= positions.position(at)
        ]

    def _at(self, topic: str, partition: int) -> PartitionPosition:
        try:
            return self._positions.get(topic, partition)
        except UnknownPartition:
            if self._member_epoch is None:
                raise
        raise self._not_ours(topic, partition)

    def _not_ours(self, topic: str, partition: int) -> FencedMember:
        return FencedMember(
            f"this member of group '{self._group}' does not have {topic}:{partition} (any more): "
            "it commits nothing of it, and who has it now reads on from the last commit",
            topic=topic,
            partition=partition,
        )

    async def committed(self, at: PartitionPosition) -> int | None:
        """What the coordinator has of this partition; None: nothing."""
        request = groups_pb2.FetchOffsetsRequest(group=self._group, topics=_topics([at]))
        answer = await self.connection.call(
            "GroupService/FetchOffsets", request, groups_pb2.FetchOffsetsResponse
        )
        found = _found(answer).get((at.topic_id, at.partition))
        return None if found is None else found.offset

    async def _fetch(
        self, assigned: Iterable[PartitionPosition]
    ) -> dict[tuple[bytes, int], groups_pb2.CommittedOffset]:
        request = groups_pb2.FetchOffsetsRequest(
            group=self._group, topics=_topics(assigned), consumer_id=self._consumer_id
        )
        answer = await self.connection.call(
            "GroupService/FetchOffsets", request, groups_pb2.FetchOffsetsResponse
        )
        self._rewind_epoch = answer.rewind_epoch
        self._note_other(answer.also_consumed_by)
        return _found(answer)

    async def _send(
        self,
        offsets: list[tuple[PartitionPosition, int]],
        *,
        allow_rewind: bool = False,
        leaving: bool = False,
    ) -> list[LogdError]:
        commits = [_offset_commit(at, offset) for at, offset in offsets]
        request = groups_pb2.CommitOffsetsRequest(
            group=self._group,
            offsets=commits,
            rewind_epoch=self._rewind_epoch,
            allow_rewind=allow_rewind,
            consumer_id=self._consumer_id,
            leaving=leaving,
            member_epoch=self._member_epoch,
        )
        sent_under = self._rewind_epoch
        answer = await self.connection.call(
            "GroupService/CommitOffsets",
            request,
            groups_pb2.CommitOffsetsResponse,
            timeout_ms=LAST_COMMIT_MS if leaving else None,
            unreachable_ms=LAST_COMMIT_UNREACHABLE_MS if leaving else None,
        )
        self._note_other(answer.also_consumed_by)
        errors = []
        for (at, _), commit, result in zip(offsets, commits, answer.results, strict=True):
            error = error_of(result)
            if error is None:
                if sent_under == self._rewind_epoch:  # else it has been placed anew since
                    _note_committed(at, commit)
                continue
            if self._member_epoch is not None and isinstance(error, UnknownTopic):
                continue  # the session takes it away
            errors.append(error)
            if isinstance(error, FencedMember):
                self.on_fenced(at)
        return errors

    def _note_other(self, other: str) -> None:
        if other and not self._warned:
            self._warned = True
            logger.warning(
                "partitions_consumed_twice",
                group=self._group,
                other=other,
                effect="both receive every record, and each overwrites the other's commits",
            )


def offsets_upto(upto: Record | Offsets) -> Offsets:
    """What commit() takes, as offsets. Raises InvalidConfig."""
    if isinstance(upto, Record):
        return {(upto.topic, upto.partition): upto.offset + 1}
    if isinstance(upto, Mapping) and all(isinstance(k, tuple) and len(k) == 2 for k in upto):
        return upto
    raise InvalidConfig(
        f"commit takes a Record or {{(topic, partition): offset}}, not {upto!r}", field="upto"
    )


def _falls(at: PartitionPosition, offset: int) -> bool:
    """Whether this commit goes back: only a seek or auto_offset_reset can have led there."""
    return at.committed is not None and offset < at.committed


def _topics(assigned: Iterable[PartitionPosition]) -> list[groups_pb2.TopicPartitions]:
    by_topic: dict[bytes, list[int]] = {}
    for at in assigned:
        by_topic.setdefault(at.topic_id, []).append(at.partition)
    return [
        groups_pb2.TopicPartitions(topic=common_pb2.TopicRef(topic_id=topic_id), partitions=numbers)
        for topic_id, numbers in by_topic.items()
    ]


class Committed(Protocol):
    """What a commit, a grant and an answer to who asks have in common."""

    @property
    def offset(self) -> int: ...
    @property
    def done_ranges(self) -> Iterable[groups_pb2.DoneRange]: ...
    @property
    def attempts(self) -> Iterable[groups_pb2.Attempts]: ...


def placed(positions: ConsumerPositions, at: PartitionPosition, committed: Committed) -> None:
    """Go on at what is committed, but for what is done beyond it."""
    _note_committed(at, committed)
    beyond = DoneRanges(at.committed_ranges), dict(at.committed_attempts)
    positions.place(at, committed.offset, beyond)


def _note_committed(at: PartitionPosition, committed: Committed) -> None:
    at.committed = committed.offset
    at.committed_ranges = tuple((done.start, done.end) for done in committed.done_ranges)
    at.committed_attempts = tuple((each.offset, each.times) for each in committed.attempts)


def _found(
    answer: groups_pb2.FetchOffsetsResponse,
) -> dict[tuple[bytes, int], groups_pb2.CommittedOffset]:
    return {
        (each.topic_id, each.partition): each for each in answer.offsets if each.HasField("offset")
    }


def _offset_commit(at: PartitionPosition, offset: int) -> groups_pb2.OffsetCommit:
    commit = groups_pb2.OffsetCommit(topic_id=at.topic_id, partition=at.partition, offset=offset)
    if at.leader_epoch is not None:
        commit.leader_epoch = at.leader_epoch
    for start, end in at.done_ranges.beyond(offset):
        commit.done_ranges.add(start=start, end=end)
    for failed, times in at.attempts_from(offset):
        commit.attempts.add(offset=failed, times=times)
    return commit
