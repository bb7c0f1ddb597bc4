"""Members' messages between protobuf and dataclasses."""

from logd.broker.doors.grpc_door.group_wire import to_commit
from logd.broker.doors.grpc_door.topic_refs import to_topic_id
from logd.model.errors import InvalidConfig
from logd.model.group import (
    REVOCATION_TIMEOUT_MS,
    SESSION_TIMEOUT_MS,
    CommitRequest,
    Consumer,
    RewindEpoch,
    Subscription,
)
from logd.model.group_session import Grant, HeldPartition, SessionAnswer, SessionMessage
from logd.model.ids import Offset, PartitionId, TopicPartition
from logd.rpc.rpc import RequestContext
from logd.wire.proto_errors import to_proto_error
from logd_proto.v1 import groups_pb2 as pb


def to_message(request: pb.SessionRequest, context: RequestContext) -> SessionMessage:
    """Raises InvalidConfig, InconsistentTopicId."""
    for commit in request.commits:
        if not commit.topic_id:
            raise InvalidConfig("a commit of a session needs its topic_id", field="commits")
    return SessionMessage(
        commit=CommitRequest(
            group=request.group,
            commits=tuple(to_commit(commit, None) for commit in request.commits),
            rewind_epoch=(
                RewindEpoch(request.rewind_epoch) if request.HasField("rewind_epoch") else None
            ),
            consumer=Consumer(request.member_id, context.peer),
            leaving=request.leaving,
            member_epoch=request.member_epoch,
        ),
        held=tuple(
            HeldPartition(
                TopicPartition(to_topic_id(each.topic_id), PartitionId(each.partition)),
                each.paused,
                each.stalled_ms,
                Offset(each.reached) if each.HasField("reached") else None,
                each.problem,
                each.finished,
            )
            for each in request.held
        ),
        subscription=(
            _to_subscription(request.subscription) if request.HasField("subscription") else None
        ),
        instance_id=request.instance_id,
        client_id=context.client_id,
        stalled=request.stalled,
    )


def _to_subscription(wants: pb.Subscription) -> Subscription:
    return Subscription(
        topics=tuple(dict.fromkeys(wants.topics)),
        pattern=wants.pattern,
        assignor=wants.assignor or "uniform",
        rack=wants.rack,
        session_timeout_ms=wants.session_timeout_ms or SESSION_TIMEOUT_MS,
        revocation_timeout_ms=wants.revocation_timeout_ms or REVOCATION_TIMEOUT_MS,
    )


def from_subscription(wants: Subscription) -> pb.Subscription:
    return pb.Subscription(
        topics=wants.topics,
        pattern=wants.pattern,
        assignor=wants.assignor,
        rack=wants.rack,
        session_timeout_ms=wants.session_timeout_ms,
        revocation_timeout_ms=wants.revocation_timeout_ms,
    )


def from_answer(answer: SessionAnswer) -> pb.SessionResponse:
    response = pb.SessionResponse(
        member_epoch=answer.member_epoch,
        rewind_epoch=answer.rewind_epoch,
        assigned=map(_from_grant, answer.grants),
        warnings=answer.warnings,
        lost=[
            pb.LostPartition(topic_id=where.topic_id, partition=where.partition)
            for where in answer.lost
        ],
        replay_over=answer.replay_over,
        replay=(
            pb.ReplayPace(speed=answer.replay.speed, clock_ms=answer.replay.clock_ms)
            if answer.replay is not None
            else None
        ),
    )
    for where, error in answer.committed:
        result = response.committed.add(topic_id=where.topic_id, partition=where.partition)
        if error is not None:
            result.error.CopyFrom(to_proto_error(error))
    return response


def _from_grant(grant: Grant) -> pb.Grant:
    position = None
    if grant.position is not None:
        position = pb.GrantPosition(
            offset=grant.position.offset,
            leader_epoch=grant.position.leader_epoch,
            done_ranges=[
                pb.DoneRange(start=done.start, end=done.end) for done in grant.position.done_ranges
            ],
            from_beginning=grant.position.from_beginning,
            attempts=[
                pb.Attempts(offset=each.offset, times=each.times)
                for each in grant.position.attempts
            ],
        )
    return pb.Grant(
        topic_id=grant.topic_partition.topic_id,
        topic=grant.topic,
        partition=grant.topic_partition.partition,
        assignment_epoch=grant.epoch,
        position=position,
        report_at=grant.report_at,
        end=grant.end,
    )
