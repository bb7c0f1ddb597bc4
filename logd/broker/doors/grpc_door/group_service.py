"""GroupService: thin handlers between the wire and the Groups port."""

from collections.abc import Awaitable, Sequence

from logd.broker.doors.grpc_door.group_wire import (
    from_committed,
    from_event,
    from_forked,
    from_lag,
    from_planned,
    from_replay,
    from_summary,
    to_commit,
    to_target,
)
from logd.broker.doors.grpc_door.session_stream import SessionStream
from logd.broker.doors.grpc_door.session_wire import (
    from_answer,
    from_subscription,
    to_message,
)
from logd.broker.doors.grpc_door.topic_refs import resolve_topic, to_topic_id
from logd.broker.ports import Groups, Topics
from logd.model.errors import InvalidConfig, UnknownTopic
from logd.model.group import (
    ByDuration,
    CommitRequest,
    Consumer,
    GroupConsumer,
    PlannedOffset,
    ResetTarget,
    RewindEpoch,
    ShiftBy,
    ToCurrent,
    ToGroup,
    TopicSelection,
    ToPlan,
)
from logd.model.group_replay import Fork
from logd.model.ids import PartitionId, TopicId, TopicPartition
from logd.rpc.rpc import Authorizer, RequestContext, ServerStream
from logd.wire.proto_errors import to_proto_error
from logd_proto.v1 import common_pb2
from logd_proto.v1 import groups_pb2 as pb

MAX_WAIT_MS_MAX = 60_000


class GroupService:
    """Members, committed offsets, lag and rewinds of consumer groups."""

    def __init__(self, groups: Groups, topics: Topics, authorizer: Authorizer) -> None:
        self._groups = groups
        self._topics = topics
        self._authorizer = authorizer

    def session(self, context: RequestContext, stream: ServerStream) -> Awaitable[None]:
        return SessionStream(self._groups, self._authorizer, context, stream).run()

    async def heartbeat(
        self, context: RequestContext, request: pb.HeartbeatRequest
    ) -> pb.HeartbeatResponse:
        for topic in request.session.subscription.topics:
            self._authorizer.authorize(context, "read", f"topic:{topic}")
        max_wait_ms = min(request.max_wait_ms, MAX_WAIT_MS_MAX)
        message = to_message(request.session, context)
        answer = await self._groups.heartbeat(message, max_wait_ms)
        return pb.HeartbeatResponse(session=from_answer(answer))

    async def commit_offsets(
        self, context: RequestContext, request: pb.CommitOffsetsRequest
    ) -> pb.CommitOffsetsResponse:
        named = None
        if any(not offset.topic_id for offset in request.offsets):
            named = resolve_topic(self._topics, request.topic).topic_id
        commits = tuple(to_commit(offset, named) for offset in request.offsets)
        outcome = await self._groups.commit_offsets(
            CommitRequest(
                group=request.group,
                commits=commits,
                rewind_epoch=(
                    RewindEpoch(request.rewind_epoch) if request.HasField("rewind_epoch") else None
                ),
                allow_rewind=request.allow_rewind,
                consumer=Consumer(request.consumer_id, context.peer),
                leaving=request.leaving,
                member_epoch=request.member_epoch if request.HasField("member_epoch") else None,
                validate_only=request.validate_only,
            )
        )
        response = pb.CommitOffsetsResponse(
            rewind_epoch=outcome.rewind_epoch, also_consumed_by=outcome.also_consumed_by
        )
        for commit, error in zip(commits, outcome.results, strict=True):
            result = response.results.add(
                topic_id=commit.topic_partition.topic_id,
                partition=commit.topic_partition.partition,
            )
            if error is not None:
                result.error.CopyFrom(to_proto_error(error))
        return response

    async def fetch_offsets(
        self, context: RequestContext, request: pb.FetchOffsetsRequest
    ) -> pb.FetchOffsetsResponse:
        found = await self._groups.fetch_offsets(
            request.group,
            self._selections(request.topics),
            Consumer(request.consumer_id, context.peer),
        )
        return pb.FetchOffsetsResponse(
            offsets=map(from_committed, found.offsets),
            rewind_epoch=found.rewind_epoch,
            also_consumed_by=found.also_consumed_by,
        )

    async def list_groups(
        self, context: RequestContext, request: pb.ListGroupsRequest
    ) -> pb.ListGroupsResponse:
        summaries = await self._groups.list_groups()
        return pb.ListGroupsResponse(groups=map(from_summary, summaries))

    async def describe_group(
        self, context: RequestContext, request: pb.DescribeGroupRequest
    ) -> pb.DescribeGroupResponse:
        group = await self._groups.describe_group(request.group)
        return pb.DescribeGroupResponse(
            group=from_summary(group.summary),
            offsets=map(from_committed, group.offsets),
            consumers=[self._to_consumer(consumer) for consumer in group.consumers],
            rewind_epoch=group.rewind_epoch,
            coordinator_partition=group.coordinator_partition,
            replay=None if group.replay is None else from_replay(group.replay),
        )

    async def describe_lag(
        self, context: RequestContext, request: pb.DescribeLagRequest
    ) -> pb.DescribeLagResponse:
        lags = await self._groups.describe_lag(request.group)
        return pb.DescribeLagResponse(partitions=map(from_lag, lags))

    async def delete_group(
        self, context: RequestContext, request: pb.DeleteGroupRequest
    ) -> pb.DeleteGroupResponse:
        offsets = await self._groups.delete_group(
            request.group, validate_only=request.validate_only
        )
        return pb.DeleteGroupResponse(offsets=offsets)

    async def reset_offsets(
        self, context: RequestContext, request: pb.ResetOffsetsRequest
    ) -> pb.ResetOffsetsResponse:
        plan = await self._groups.reset_offsets(
            request.group,
            self._target(request),
            self._selections(request.topics),
            actor=request.actor or context.principal,
            create=request.create,
            validate_only=request.validate_only,
        )
        return pb.ResetOffsetsResponse(
            partitions=map(from_planned, plan.partitions),
            rewind_epoch=plan.rewind_epoch,
            at_ms=plan.at_ms,
            creates_group=plan.creates_group,
        )

    async def undo_reset(
        self, context: RequestContext, request: pb.UndoResetRequest
    ) -> pb.UndoResetResponse:
        plan = await self._groups.undo_reset(
            request.group,
            actor=request.actor or context.principal,
            validate_only=request.validate_only,
        )
        return pb.UndoResetResponse(
            partitions=map(from_planned, plan.partitions), rewind_epoch=plan.rewind_epoch
        )

    async def fork_group(
        self, context: RequestContext, request: pb.ForkGroupRequest
    ) -> pb.ForkGroupResponse:
        self._authorizer.authorize(context, "describe", f"group:{request.source}")
        plan = await self._groups.fork_group(
            Fork(
                request.source,
                request.group,
                request.at_ms,
                request.until_ms if request.HasField("until_ms") else None,
                request.speed,
                request.actor or context.principal,
                request.validate_only,
            )
        )
        return pb.ForkGroupResponse(
            partitions=map(from_forked, plan.partitions), from_ms=plan.from_ms
        )

    async def list_resets(
        self, context: RequestContext, request: pb.ListResetsRequest
    ) -> pb.ListResetsResponse:
        events = await self._groups.list_resets(request.group)
        return pb.ListResetsResponse(events=map(from_event, events))

    def _selections(self, topics: Sequence[pb.TopicPartitions]) -> list[TopicSelection]:
        return [
            TopicSelection(self._topic_id(asked.topic), tuple(map(PartitionId, asked.partitions)))
            for asked in topics
        ]

    def _topic_id(self, ref: common_pb2.TopicRef) -> TopicId:
        """An id alone is passed on: what a group committed to a topic that is gone has no name."""
        if ref.topic_id and not ref.name:
            return to_topic_id(ref.topic_id)
        return resolve_topic(self._topics, ref).topic_id

    def _target(self, request: pb.ResetOffsetsRequest) -> ResetTarget:
        """Raises InvalidConfig where none is set."""
        match request.WhichOneof("to"):
            case "position":
                return to_target(request.position)
            case "shift_by":
                return ShiftBy(request.shift_by)
            case "duration_ms":
                return ByDuration(request.duration_ms)
            case "record_duration_ms":
                return ByDuration(request.record_duration_ms, by_record_time=True)
            case "to_group":
                return ToGroup(request.to_group)
            case "plan":
                return ToPlan(tuple(map(self._planned_offset, request.plan.offsets)))
            case "current":
                return ToCurrent()
            case _:
                raise InvalidConfig("say where to reset the group to", field="to")

    def _planned_offset(self, planned: pb.PlannedOffset) -> PlannedOffset:
        """A plan may be older than its topics: those that are gone are skipped, not refused."""
        topic_id: TopicId | None
        try:
            topic_id = self._topic_id(planned.topic)
        except UnknownTopic:
            topic_id = None
        return PlannedOffset(
            planned.topic.name, topic_id, PartitionId(planned.partition), planned.offset
        )

    def _to_consumer(self, consumer: GroupConsumer) -> pb.GroupConsumer:
        message = pb.GroupConsumer(
            consumer_id=consumer.consumer_id,
            peer=consumer.peer,
            seen_ms=consumer.seen_ms,
            partitions=self._by_topic(consumer.partitions),
            member=consumer.member,
            instance_id=consumer.instance_id,
            client_id=consumer.client_id,
            giving_up=self._by_topic(consumer.giving_up),
            waiting_for=self._by_topic(consumer.waiting_for),
            connected=consumer.connected,
            stalled_ms=consumer.stalled_ms,
        )
        if consumer.subscription is not None:
            message.subscription.CopyFrom(from_subscription(consumer.subscription))
        return message

    def _by_topic(self, partitions: Sequence[TopicPartition]) -> list[pb.TopicPartitions]:
        by_topic: dict[TopicId, list[int]] = {}
        for topic_id, partition in partitions:
            by_topic.setdefault(topic_id, []).append(partition)
        found = []
        for topic_id, numbers in by_topic.items():
            try:
                name = self._topics.by_id(topic_id).name
            except UnknownTopic:
                name = ""
            topic = common_pb2.TopicRef(name=name, topic_id=topic_id)
            found.append(pb.TopicPartitions(topic=topic, partitions=numbers))
        return found
