"""Groups between protobuf messages and dataclasses."""

from logd.broker.doors.grpc_door.topic_refs import to_topic_id
from logd.model.errors import InvalidConfig
from logd.model.group import (
    Attempts,
    CommittedOffset,
    DoneRange,
    GroupSummary,
    OffsetCommit,
    PartitionLag,
    PlannedReset,
    ResetEvent,
    ResetTarget,
    ToEarliest,
    ToLatest,
    ToOffset,
    ToTime,
)
from logd.model.group_replay import ForkedPartition, ReplayStatus
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd_proto.v1 import common_pb2
from logd_proto.v1 import groups_pb2 as pb


def to_commit(offset: pb.OffsetCommit, named: TopicId | None) -> OffsetCommit:
    topic_id = to_topic_id(offset.topic_id) if offset.topic_id else named
    assert topic_id is not None, "the named topic was found for offsets without an id"
    return OffsetCommit(
        topic_partition=TopicPartition(topic_id, PartitionId(offset.partition)),
        offset=Offset(offset.offset),
        leader_epoch=LeaderEpoch(offset.leader_epoch) if offset.HasField("leader_epoch") else None,
        metadata=offset.metadata,
        done_ranges=tuple(DoneRange(done.start, done.end) for done in offset.done_ranges),
        attempts=tuple(Attempts(each.offset, each.times) for each in offset.attempts),
    )


def to_target(spec: common_pb2.OffsetSpec) -> ResetTarget:
    match spec.WhichOneof("spec"):
        case "earliest":
            return ToEarliest()
        case "latest":
            return ToLatest()
        case "offset":
            return ToOffset(spec.offset)
        case "append_time_ms":
            return ToTime(spec.append_time_ms)
        case "record_time_ms":
            return ToTime(spec.record_time_ms, by_record_time=True)
        case _:
            raise InvalidConfig("say earliest, latest, an offset or a time", field="position")


def from_committed(offset: CommittedOffset) -> pb.CommittedOffset:
    return pb.CommittedOffset(
        topic_id=offset.topic_id,
        topic=offset.topic,
        partition=offset.partition,
        offset=offset.offset,
        leader_epoch=offset.leader_epoch,
        metadata=offset.metadata,
        committed_ms=offset.committed_ms,
        done_ranges=[pb.DoneRange(start=done.start, end=done.end) for done in offset.done_ranges],
        attempts=[pb.Attempts(offset=each.offset, times=each.times) for each in offset.attempts],
    )


def from_summary(group: GroupSummary) -> pb.GroupSummary:
    return pb.GroupSummary(
        group=group.group,
        state=group.state,
        topics=group.topics,
        committed_ms=group.committed_ms,
        consumers=group.consumers,
    )


def from_planned(planned: PlannedReset) -> pb.PlannedReset:
    return pb.PlannedReset(
        topic=planned.topic,
        topic_id=planned.topic_id or b"",
        partition=planned.partition,
        from_offset=planned.from_offset,
        to_offset=planned.to_offset,
        replay_records=planned.replay_records,
        replay_bytes=planned.replay_bytes,
        clamped=planned.clamped,
        skipped=planned.skipped,
    )


def from_event(event: ResetEvent) -> pb.ResetEvent:
    return pb.ResetEvent(
        rewind_epoch=event.rewind_epoch,
        at_ms=event.at_ms,
        kind=event.kind,
        description=event.description,
        actor=event.actor,
        partitions=map(from_planned, event.partitions),
    )


def from_replay(replay: ReplayStatus) -> pb.Replay:
    return pb.Replay(
        source=replay.source,
        from_ms=replay.from_ms,
        until_ms=replay.until_ms,
        speed=replay.speed,
        clock_ms=replay.clock_ms,
    )


def from_forked(forked: ForkedPartition) -> pb.ForkedPartition:
    return pb.ForkedPartition(
        topic=forked.topic,
        topic_id=forked.topic_id,
        partition=forked.partition,
        start=forked.start,
        end=forked.end,
        records=forked.records,
        bytes=forked.size_bytes,
    )


def from_lag(lag: PartitionLag) -> pb.PartitionLag:
    return pb.PartitionLag(
        topic=lag.topic,
        partition=lag.partition,
        committed=lag.committed,
        high_watermark=lag.high_watermark,
        log_start_offset=lag.log_start_offset,
        lag_records=lag.lag_records,
        lag_bytes=lag.lag_bytes,
        lag_seconds=lag.lag_seconds,
        rate=lag.rate,
        catch_up_seconds=lag.catch_up_seconds,
        reason=lag.reason,
        records_lost=lag.records_lost,
        consumer_id=lag.consumer_id,
    )
