"""The part of Admin that deals with consumer groups: offsets, lag and rewinding."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import cast

from logd.model.checked_values import (
    INT64_MIN,
    check_int,
    check_number,
    check_partition,
    check_text,
    time_to_ms,
)
from logd.model.errors import InvalidConfig
from logd.model.group import (
    Attempts,
    CommittedOffset,
    DoneRange,
    GroupSummary,
    PartitionLag,
    PlannedReset,
    ResetEvent,
    ResetKind,
    ResetPlan,
    RewindEpoch,
)
from logd.model.group_replay import UNPACED, ForkedPartition, ForkPlan, ReplayStatus
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId
from logd.model.offset_spec import OffsetSpec
from logd_client.broker_connection import BrokerConnection
from logd_client.descriptions import CommitOutcome, GroupConsumer, GroupDescription, ResetTarget
from logd_client.topic_admin import error_of, offset_spec_message, topic_ref
from logd_proto.v1 import groups_pb2

GroupTopics = Mapping[str, Sequence[int] | None] | Sequence[str] | None
"""Names of topics, or name -> partitions (none given: all of them)."""


class GroupAdmin:
    """Consumer groups, for `Admin`. All calls raise LogdErrors of docs/errors.md."""

    _connection: BrokerConnection

    async def list_groups(self) -> list[GroupSummary]:
        """Every group, sorted by name."""
        answer = await self._connection.call(
            "GroupService/ListGroups", groups_pb2.ListGroupsRequest(), groups_pb2.ListGroupsResponse
        )
        return [_summary(group) for group in answer.groups]

    async def describe_group(self, group: str) -> GroupDescription:
        """One group with its offsets and consumers. Raises UnknownGroup."""
        answer = await self._connection.call(
            "GroupService/DescribeGroup",
            groups_pb2.DescribeGroupRequest(group=check_text("group", group)),
            groups_pb2.DescribeGroupResponse,
        )
        return GroupDescription(
            group=_summary(answer.group),
            offsets=tuple(_committed(each) for each in answer.offsets),
            consumers=tuple(
                GroupConsumer(
                    consumer_id=each.consumer_id,
                    peer=each.peer,
                    seen_ms=each.seen_ms,
                    partitions=_by_topic(each.partitions),
                    member=each.member,
                    instance_id=each.instance_id,
                    client_id=each.client_id,
                    topics=tuple(each.subscription.topics),
                    pattern=each.subscription.pattern,
                    assignor=each.subscription.assignor,
                    giving_up=_by_topic(each.giving_up),
                    waiting_for=_by_topic(each.waiting_for),
                    connected=each.connected,
                    stalled_ms=each.stalled_ms,
                )
                for each in answer.consumers
            ),
            rewind_epoch=answer.rewind_epoch,
            coordinator_partition=answer.coordinator_partition,
            replay=_replay(answer.replay) if answer.HasField("replay") else None,
        )

    async def group_lag(self, group: str) -> list[PartitionLag]:
        """What the group has yet to read, by topic and partition. Raises UnknownGroup."""
        answer = await self._connection.call(
            "GroupService/DescribeLag",
            groups_pb2.DescribeLagRequest(group=check_text("group", group)),
            groups_pb2.DescribeLagResponse,
        )
        return [_lag(each) for each in answer.partitions]

    async def delete_group(self, group: str, validate_only: bool = False) -> int:
        """Forget the group; how many offsets went. Raises UnknownGroup, GroupNotEmpty."""
        answer = await self._connection.call(
            "GroupService/DeleteGroup",
            groups_pb2.DeleteGroupRequest(
                group=check_text("group", group), validate_only=validate_only
            ),
            groups_pb2.DeleteGroupResponse,
            retry=validate_only,
        )
        return answer.offsets

    async def commit_offsets(
        self,
        group: str,
        offsets: Mapping[tuple[str, int], int],
        allow_rewind: bool = False,
        done_ranges: Mapping[tuple[str, int], Sequence[DoneRange]] | None = None,
    ) -> list[CommitOutcome]:
        """Set committed offsets by (topic, partition), in their order, one outcome each. With
        `done_ranges` what is done beyond them.

        An offset below the committed one is refused (CommitBehind) unless `allow_rewind`. Raises
        GroupRewound where the group is rewound at the same time: nothing was applied then.
        """
        ids = {topic: (await self._connection.topic(topic)).topic_id for topic, _ in offsets}
        known = await self._connection.call(
            "GroupService/FetchOffsets",
            groups_pb2.FetchOffsetsRequest(group=check_text("group", group)),
            groups_pb2.FetchOffsetsResponse,
        )
        request = groups_pb2.CommitOffsetsRequest(
            group=check_text("group", group),
            offsets=[
                groups_pb2.OffsetCommit(
                    topic_id=ids[topic],
                    partition=check_partition(number),
                    offset=check_int("offset", offset, INT64_MIN),
                    done_ranges=[
                        groups_pb2.DoneRange(start=done.start, end=done.end)
                        for done in (done_ranges or {}).get((topic, number), ())
                    ],
                )
                for (topic, number), offset in offsets.items()
            ],
            rewind_epoch=known.rewind_epoch,
            allow_rewind=allow_rewind,
        )
        answer = await self._connection.call(
            "GroupService/CommitOffsets", request, groups_pb2.CommitOffsetsResponse
        )
        return [
            CommitOutcome(topic, number, error_of(result))
            for (topic, number), result in zip(offsets, answer.results, strict=True)
        ]

    async def fetch_offsets(self, group: str, topics: GroupTopics = None) -> list[CommittedOffset]:
        """Committed offsets of these partitions (an empty list: the whole topic), or of all."""
        request = groups_pb2.FetchOffsetsRequest(
            group=check_text("group", group), topics=_topic_partitions(topics)
        )
        answer = await self._connection.call(
            "GroupService/FetchOffsets", request, groups_pb2.FetchOffsetsResponse
        )
        return [_committed(each) for each in answer.offsets]

    async def reset_offsets(
        self,
        group: str,
        to: ResetTarget,
        topics: GroupTopics = None,
        *,
        execute: bool = False,
        create: bool = False,
        actor: str = "",
    ) -> ResetPlan:
        """Plan a rewind (or a leap forward) on the broker; with `execute` apply it, all at once.

        `topics` None: all that the group has committed. Running consumers go on from there. A group
        that does not exist is refused (UnknownGroup), unless `create`.
        """
        request = groups_pb2.ResetOffsetsRequest(
            group=check_text("group", group),
            topics=_topic_partitions(topics),
            validate_only=not execute,
            create=create,
            actor=actor,
        )
        _set_target(request, to)
        answer = await self._connection.call(
            "GroupService/ResetOffsets",
            request,
            groups_pb2.ResetOffsetsResponse,
            retry=not execute,
        )
        return ResetPlan(
            tuple(_planned(each) for each in answer.partitions),
            RewindEpoch(answer.rewind_epoch),
            answer.at_ms if answer.HasField("at_ms") else None,
            execute,
            answer.creates_group,
        )

    async def undo_reset(self, group: str, execute: bool = False, actor: str = "") -> ResetPlan:
        """Plan, or with `execute` apply, the undo of the group's latest rewind."""
        answer = await self._connection.call(
            "GroupService/UndoReset",
            groups_pb2.UndoResetRequest(
                group=check_text("group", group), validate_only=not execute, actor=actor
            ),
            groups_pb2.UndoResetResponse,
            retry=not execute,
        )
        partitions = tuple(_planned(each) for each in answer.partitions)
        return ResetPlan(partitions, RewindEpoch(answer.rewind_epoch), None, execute)

    async def fork_group(
        self,
        source: str,
        to: str,
        at: datetime | int,
        until: datetime | int | None = None,
        speed: float = UNPACED,
        *,
        validate_only: bool = False,
        actor: str = "",
    ) -> ForkPlan:
        """Make the group `to`, whose members replay the topics of `source` from `at` on.

        Times are of append: datetimes with a zone, or ms since 1970 UTC. With `until` their loops
        end before the first record appended then or later. `speed` is times the pace that it was
        written at; 0: as fast as it is read. `source` goes on untouched. Raises UnknownGroup,
        GroupExists, InvalidConfig.
        """
        request = groups_pb2.ForkGroupRequest(
            group=check_text("to", to),
            source=check_text("source", source),
            at_ms=time_to_ms("at", at),
            until_ms=None if until is None else time_to_ms("until", until),
            speed=check_number("speed", speed),
            validate_only=validate_only,
            actor=actor,
        )
        answer = await self._connection.call(
            "GroupService/ForkGroup",
            request,
            groups_pb2.ForkGroupResponse,
            retry=validate_only,
        )
        partitions = tuple(
            ForkedPartition(
                each.topic,
                TopicId(each.topic_id),
                PartitionId(each.partition),
                Offset(each.start),
                Offset(each.end) if each.HasField("end") else None,
                each.records,
                each.bytes,
            )
            for each in answer.partitions
        )
        return ForkPlan(partitions, answer.from_ms, executed=not validate_only)

    async def group_history(self, group: str) -> list[ResetEvent]:
        """The group's rewinds and undos, latest first."""
        answer = await self._connection.call(
            "GroupService/ListResets",
            groups_pb2.ListResetsRequest(group=check_text("group", group)),
            groups_pb2.ListResetsResponse,
        )
        return [
            ResetEvent(
                RewindEpoch(each.rewind_epoch),
                each.at_ms,
                cast(ResetKind, each.kind),
                each.description,
                each.actor,
                tuple(_planned(partition) for partition in each.partitions),
            )
            for each in answer.events
        ]


def _set_target(request: groups_pb2.ResetOffsetsRequest, to: ResetTarget) -> None:
    if not isinstance(to, ResetTarget):
        raise InvalidConfig(f"{to!r} is no ResetTarget, such as ResetTarget.latest()", field="to")
    match to.to:
        case "earliest" | "latest" | "offset" | "append_time" | "record_time":
            request.position.CopyFrom(offset_spec_message(OffsetSpec(to.to, to.value)))
        case "current":
            request.current = True
        case "duration":
            request.duration_ms = to.value
        case "record_duration":
            request.record_duration_ms = to.value
        case "shift":
            request.shift_by = to.value
        case "group":
            request.to_group = to.group
        case "plan":
            request.plan.SetInParent()
            for topic, partition, offset in to.offsets:
                request.plan.offsets.add(topic=topic_ref(topic), partition=partition, offset=offset)


def _topic_partitions(topics: GroupTopics) -> list[groups_pb2.TopicPartitions]:
    """Raises InvalidConfig."""
    if isinstance(topics, str):
        topics = [topics]
    try:
        by_topic = topics if isinstance(topics, Mapping) else dict.fromkeys(topics or (), ())
        return [
            groups_pb2.TopicPartitions(
                topic=topic_ref(name),
                partitions=map(check_partition, () if numbers is None else numbers),
            )
            for name, numbers in by_topic.items()
        ]
    except TypeError:
        raise InvalidConfig(
            f"topics are {topics!r}, but are given as a list of names, or as {{name: partitions}}",
            field="topics",
        ) from None


def _by_topic(partitions: Iterable[groups_pb2.TopicPartitions]) -> dict[str, tuple[int, ...]]:
    return {of.topic.name or of.topic.topic_id.hex(): tuple(of.partitions) for of in partitions}


def _summary(group: groups_pb2.GroupSummary) -> GroupSummary:
    return GroupSummary(
        group.group, group.state, tuple(group.topics), group.committed_ms, group.consumers
    )


def _committed(each: groups_pb2.CommittedOffset) -> CommittedOffset:
    return CommittedOffset(
        topic=each.topic,
        topic_id=TopicId(each.topic_id),
        partition=PartitionId(each.partition),
        offset=Offset(each.offset) if each.HasField("offset") else None,
        leader_epoch=LeaderEpoch(each.leader_epoch) if each.HasField("leader_epoch") else None,
        metadata=each.metadata,
        committed_ms=each.committed_ms,
        done_ranges=tuple(DoneRange(done.start, done.end) for done in each.done_ranges),
        attempts=tuple(Attempts(tried.offset, tried.times) for tried in each.attempts),
    )


def _lag(each: groups_pb2.PartitionLag) -> PartitionLag:
    return PartitionLag(
        topic=each.topic,
        partition=PartitionId(each.partition),
        committed=Offset(each.committed) if each.HasField("committed") else None,
        high_watermark=Offset(each.high_watermark),
        log_start_offset=Offset(each.log_start_offset),
        lag_records=each.lag_records,
        lag_bytes=each.lag_bytes,
        lag_seconds=each.lag_seconds,
        rate=each.rate if each.HasField("rate") else None,
        catch_up_seconds=each.catch_up_seconds if each.HasField("catch_up_seconds") else None,
        reason=each.reason,
        records_lost=each.records_lost,
        consumer_id=each.consumer_id,
    )


def _planned(each: groups_pb2.PlannedReset) -> PlannedReset:
    return PlannedReset(
        topic=each.topic,
        topic_id=TopicId(each.topic_id) if each.topic_id else None,
        partition=PartitionId(each.partition),
        from_offset=Offset(each.from_offset) if each.HasField("from_offset") else None,
        to_offset=Offset(each.to_offset) if each.HasField("to_offset") else None,
        replay_records=each.replay_records,
        replay_bytes=each.replay_bytes,
        clamped=each.clamped,
        skipped=each.skipped,
    )


def _replay(replay: groups_pb2.Replay) -> ReplayStatus:
    return ReplayStatus(
        replay.source,
        replay.from_ms,
        replay.until_ms if replay.HasField("until_ms") else None,
        replay.speed,
        replay.clock_ms if replay.HasField("clock_ms") else None,
    )
