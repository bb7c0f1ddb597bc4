"""TopicService: thin handlers between the wire and the ports."""

import asyncio
from collections.abc import Sequence

from logd.broker.doors.grpc_door.topic_refs import resolve_topic, to_offset_spec
from logd.broker.ports import Partitions, PartitionStatus, Topics, TopicSizes
from logd.model.errors import AclDenied, LogdError
from logd.model.ids import PartitionId, TopicPartition
from logd.model.topic import SPLIT_UNSETTLED, Topic
from logd.rpc.rpc import RequestContext
from logd.wire.proto_errors import to_proto_error
from logd_proto.v1 import common_pb2, topics_pb2

STATUS_AT_ONCE_MAX = 64
"""Partitions whose status is looked up at the same time."""


class TopicService:
    """Topics and the state of their partitions."""

    def __init__(self, topics: Topics, partitions: Partitions, sizes: TopicSizes) -> None:
        self._topics = topics
        self._partitions = partitions
        self._sizes = sizes

    async def create_topic(
        self, context: RequestContext, request: topics_pb2.CreateTopicRequest
    ) -> topics_pb2.CreateTopicResponse:
        topic = await self._topics.create(
            request.name,
            request.partitions or 1,
            dict(request.config),
            replication_factor=request.replication_factor,
            validate_only=request.validate_only,
        )
        return topics_pb2.CreateTopicResponse(topic=to_proto_topic(topic))

    async def list_topics(
        self, context: RequestContext, request: topics_pb2.ListTopicsRequest
    ) -> topics_pb2.ListTopicsResponse:
        shown = [t for t in self._topics.all() if request.include_internal or not t.internal]
        sizes = await self._sizes.sizes(shown) if request.with_sizes else ()
        return topics_pb2.ListTopicsResponse(
            topics=[to_proto_topic(topic) for topic in shown],
            sizes=[
                topics_pb2.TopicSize(
                    records=size.records, size_bytes=size.size_bytes, append_rate=size.append_rate
                )
                for size in sizes
            ],
        )

    async def describe_topic(
        self, context: RequestContext, request: topics_pb2.DescribeTopicRequest
    ) -> topics_pb2.DescribeTopicResponse:
        topic = resolve_topic(self._topics, request.topic)
        return topics_pb2.DescribeTopicResponse(topic=to_proto_topic(topic))

    async def alter_topic(
        self, context: RequestContext, request: topics_pb2.AlterTopicRequest
    ) -> topics_pb2.AlterTopicResponse:
        topic = await self._topics.alter(
            self._own_topic(request.topic, "alter").topic_id,
            dict(request.config),
            validate_only=request.validate_only,
        )
        return topics_pb2.AlterTopicResponse(topic=to_proto_topic(topic))

    async def add_partitions(
        self, context: RequestContext, request: topics_pb2.AddPartitionsRequest
    ) -> topics_pb2.AddPartitionsResponse:
        topic, moved_key_share = await self._topics.add_partitions(
            resolve_topic(self._topics, request.topic).topic_id,
            request.total,
            validate_only=request.validate_only,
        )
        return topics_pb2.AddPartitionsResponse(
            topic=to_proto_topic(topic), moved_key_share=moved_key_share
        )

    async def delete_topic(
        self, context: RequestContext, request: topics_pb2.DeleteTopicRequest
    ) -> topics_pb2.DeleteTopicResponse:
        topic = await self._topics.delete(
            resolve_topic(self._topics, request.topic).topic_id,
            validate_only=request.validate_only,
        )
        return topics_pb2.DeleteTopicResponse(topic_id=topic.topic_id)

    async def delete_records(
        self, context: RequestContext, request: topics_pb2.DeleteRecordsRequest
    ) -> topics_pb2.DeleteRecordsResponse:
        topic = self._own_topic(request.topic, "delete")
        results = []
        for asked in request.partitions:
            result = topics_pb2.DeleteRecordsResult(partition=asked.partition)
            topic_partition = TopicPartition(topic.topic_id, PartitionId(asked.partition))
            try:
                result.log_start_offset, result.records = await self._partitions.delete_records(
                    topic_partition,
                    to_offset_spec(asked.before),
                    validate_only=request.validate_only,
                )
            except LogdError as error:
                result.error.CopyFrom(to_proto_error(error))
            results.append(result)
        return topics_pb2.DeleteRecordsResponse(results=results)

    def _own_topic(self, ref: common_pb2.TopicRef, operation: str) -> Topic:
        """A topic that users may change. Raises AclDenied for one that logd keeps itself."""
        topic = resolve_topic(self._topics, ref)
        if topic.internal:
            raise AclDenied(
                f"'{topic.name}' is kept by logd alone",
                operation=operation,
                resource=f"topic:{topic.name}",
            )
        return topic

    async def describe_partitions(
        self, context: RequestContext, request: topics_pb2.DescribePartitionsRequest
    ) -> topics_pb2.DescribePartitionsResponse:
        if request.HasField("topic"):
            topics: Sequence[Topic] = [resolve_topic(self._topics, request.topic)]
        else:
            topics = [topic for topic in self._topics.all() if not topic.internal]
        asked = [
            (topic, partition)
            for topic in topics
            for partition in request.partitions or range(len(topic.partitions))
        ]
        states: list[topics_pb2.PartitionState] = []
        for start in range(0, len(asked), STATUS_AT_ONCE_MAX):
            some = asked[start : start + STATUS_AT_ONCE_MAX]
            states += await asyncio.gather(*(self._state(t, p) for t, p in some))
        return topics_pb2.DescribePartitionsResponse(partitions=states)

    async def _state(self, topic: Topic, partition: int) -> topics_pb2.PartitionState:
        topic.partition(partition)
        topic_partition = TopicPartition(topic.topic_id, PartitionId(partition))
        try:
            status = await self._partitions.status(topic_partition)
        except LogdError as error:
            return topics_pb2.PartitionState(
                topic=topic.name,
                topic_id=topic.topic_id,
                partition=partition,
                error=to_proto_error(error),
            )
        return to_proto_state(topic, status)


def to_proto_topic(topic: Topic) -> topics_pb2.Topic:
    return topics_pb2.Topic(
        name=topic.name,
        topic_id=topic.topic_id,
        partitions=[
            topics_pb2.Partition(
                partition=number,
                hash_lo=spec.key_range.hash_lo,
                hash_hi=spec.key_range.hash_hi,
                sealed=spec.sealed,
                parents=spec.parents,
                split_at=None if spec.split_at == SPLIT_UNSETTLED else spec.split_at,
                leader=spec.replicas[0],
                replicas=spec.replicas,
            )
            for number, spec in enumerate(topic.partitions)
        ],
        config=topic.config.as_strings(),
        partitioning_epoch=topic.partitioning_epoch,
        internal=topic.internal,
        created_ms=topic.created_ms,
        replication_factor=len(topic.partitions[0].replicas),
    )


def to_proto_state(topic: Topic, status: PartitionStatus) -> topics_pb2.PartitionState:
    return topics_pb2.PartitionState(
        topic=topic.name,
        topic_id=topic.topic_id,
        partition=status.topic_partition.partition,
        leader=status.leader,
        leader_epoch=status.leader_epoch,
        isr=status.isr,
        log_start_offset=status.log_start_offset,
        high_watermark=status.high_watermark,
        log_end_offset=status.log_end_offset,
        synced_end_offset=status.synced_end_offset,
        size_bytes=status.size_bytes,
        segments=status.segments,
        error=None if status.error is None else to_proto_error(status.error),
    )
