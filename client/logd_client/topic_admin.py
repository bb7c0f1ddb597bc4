"""The part of Admin that deals with topics and partitions."""

from collections.abc import Mapping, Sequence
from typing import Any

from logd.model.checked_values import (
    UINT32_MAX,
    check_int,
    check_partition,
    check_text,
)
from logd.model.cluster import TopicSize
from logd.model.errors import InvalidConfig, LogdError, TopicExists
from logd.model.ids import LeaderEpoch, Offset, PartitionId
from logd.model.offset_spec import FoundOffset, OffsetSpec
from logd.wire.proto_errors import from_proto_error
from logd_client.broker_connection import BrokerConnection
from logd_client.descriptions import (
    DeletedRecords,
    PartitionDescription,
    PartitionInfo,
    TopicDescription,
)
from logd_proto.v1 import common_pb2, data_pb2, topics_pb2


def error_of(entry: Any) -> LogdError | None:
    """The typed error of an answer's entry (any message with an `error` field); None: success."""
    return from_proto_error(entry.error) if entry.HasField("error") else None


def topic_ref(name: str) -> common_pb2.TopicRef:
    """A topic by its name. Raises InvalidConfig for what is no text."""
    return common_pb2.TopicRef(name=check_text("topic", name))


def offset_spec_message(spec: OffsetSpec) -> common_pb2.OffsetSpec:
    """An OffsetSpec as it travels. Raises InvalidConfig for what is none."""
    if not isinstance(spec, OffsetSpec):
        raise InvalidConfig(f"{spec!r} is no OffsetSpec, such as OffsetSpec.latest()", field="spec")
    match spec.at:
        case "earliest":
            return common_pb2.OffsetSpec(earliest=True)
        case "latest":
            return common_pb2.OffsetSpec(latest=True)
        case "offset":
            return common_pb2.OffsetSpec(offset=spec.value)
        case "append_time":
            return common_pb2.OffsetSpec(append_time_ms=spec.value)
        case "record_time":
            return common_pb2.OffsetSpec(record_time_ms=spec.value)


class TopicAdmin:
    """Topics and partitions, for `Admin`. All calls raise LogdErrors of docs/errors.md."""

    _connection: BrokerConnection

    async def create_topic(
        self,
        name: str,
        partitions: int = 1,
        replication_factor: int = 0,
        config: Mapping[str, str] | None = None,
        *,
        if_not_exists: bool = False,
        validate_only: bool = False,
    ) -> TopicDescription:
        """Make a topic; `config` holds the settings that differ from the defaults.

        Raises TopicExists, or with `if_not_exists` gives the topic as it is; InvalidName,
        InvalidConfig. `replication_factor` 0: the cluster's default.
        """
        request = topics_pb2.CreateTopicRequest(
            name=check_text("name", name),
            partitions=check_int("partitions", partitions, 0, UINT32_MAX),
            replication_factor=check_int("replication_factor", replication_factor, 0, UINT32_MAX),
            config=config or {},
            validate_only=validate_only,
        )
        try:
            answer = await self._connection.call(
                "TopicService/CreateTopic",
                request,
                topics_pb2.CreateTopicResponse,
                retry=if_not_exists or validate_only,
            )
        except TopicExists as error:
            if not if_not_exists or error.details.get("topic") != name:
                raise
            return await self.describe_topic(name)
        return _topic(answer.topic)

    async def list_topics(
        self, include_internal: bool = False, with_sizes: bool = False
    ) -> list[TopicDescription]:
        """Every topic, sorted by name."""
        request = topics_pb2.ListTopicsRequest(
            include_internal=include_internal, with_sizes=with_sizes
        )
        answer = await self._connection.call(
            "TopicService/ListTopics", request, topics_pb2.ListTopicsResponse
        )
        sizes = map(_size, answer.sizes)
        return [_topic(topic, next(sizes, None)) for topic in answer.topics]

    async def describe_topic(self, name: str) -> TopicDescription:
        """One topic. Raises UnknownTopic."""
        request = topics_pb2.DescribeTopicRequest(topic=topic_ref(name))
        answer = await self._connection.call(
            "TopicService/DescribeTopic", request, topics_pb2.DescribeTopicResponse
        )
        return _topic(answer.topic)

    async def set_topic(
        self, name: str, config: Mapping[str, str], validate_only: bool = False
    ) -> TopicDescription:
        """Change these settings. Raises UnknownTopic, InvalidConfig."""
        request = topics_pb2.AlterTopicRequest(
            topic=topic_ref(name), config=config, validate_only=validate_only
        )
        answer = await self._connection.call(
            "TopicService/AlterTopic", request, topics_pb2.AlterTopicResponse
        )
        return _topic(answer.topic)

    async def add_partitions(
        self, name: str, total: int, validate_only: bool = False
    ) -> tuple[TopicDescription, float]:
        """Grow to `total` partitions: the topic, and the share of keys (0 to 1) that move."""
        request = topics_pb2.AddPartitionsRequest(
            topic=topic_ref(name),
            total=check_int("total", total, 0, UINT32_MAX),
            validate_only=validate_only,
        )
        answer = await self._connection.call(
            "TopicService/AddPartitions",
            request,
            topics_pb2.AddPartitionsResponse,
            retry=validate_only,
        )
        return _topic(answer.topic), answer.moved_key_share

    async def delete_topic(self, name: str, validate_only: bool = False) -> bytes:
        """Delete the topic with its records; gives the topic's id."""
        request = topics_pb2.DeleteTopicRequest(topic=topic_ref(name), validate_only=validate_only)
        answer = await self._connection.call(
            "TopicService/DeleteTopic",
            request,
            topics_pb2.DeleteTopicResponse,
            retry=validate_only,
        )
        return answer.topic_id

    async def truncate_topic(
        self, topic: str, before: Mapping[int, OffsetSpec], validate_only: bool = False
    ) -> list[DeletedRecords]:
        """Remove the records before a place in each of these partitions, in their order."""
        request = topics_pb2.DeleteRecordsRequest(
            topic=topic_ref(topic),
            partitions=[
                topics_pb2.TruncateBefore(
                    partition=check_partition(number), before=offset_spec_message(spec)
                )
                for number, spec in before.items()
            ],
            validate_only=validate_only,
        )
        answer = await self._connection.call(
            "TopicService/DeleteRecords", request, topics_pb2.DeleteRecordsResponse
        )
        return [
            DeletedRecords(
                result.partition,
                result.log_start_offset,
                result.records,
                error_of(result),
            )
            for result in answer.results
        ]

    delete_records = truncate_topic
    """Kafka's name for it."""

    async def describe_partitions(
        self, topic: str | None = None, partitions: Sequence[int] = ()
    ) -> list[PartitionDescription]:
        """The state of these partitions, of the whole topic, or of all topics."""
        request = topics_pb2.DescribePartitionsRequest(
            topic=topic_ref(topic) if topic is not None else None,
            partitions=map(check_partition, partitions),
        )
        answer = await self._connection.call(
            "TopicService/DescribePartitions", request, topics_pb2.DescribePartitionsResponse
        )
        return [_partition(state) for state in answer.partitions]

    async def list_offsets(self, topic: str, specs: Mapping[int, OffsetSpec]) -> list[FoundOffset]:
        """Look a place up in each of these partitions; answers stand in their order."""
        request = data_pb2.ListOffsetsRequest(
            topic=topic_ref(topic),
            queries=[
                data_pb2.OffsetQuery(
                    partition=check_partition(number), at=offset_spec_message(spec)
                )
                for number, spec in specs.items()
            ],
        )
        answer = await self._connection.call(
            "DataService/ListOffsets", request, data_pb2.ListOffsetsResponse
        )
        return [
            FoundOffset(
                PartitionId(found.partition),
                Offset(found.offset),
                found.timestamp_ms if found.HasField("timestamp_ms") else None,
                LeaderEpoch(found.leader_epoch),
                error_of(found),
            )
            for found in answer.answers
        ]


def _size(size: topics_pb2.TopicSize) -> TopicSize:
    return TopicSize(
        records=size.records if size.HasField("records") else None,
        size_bytes=size.size_bytes if size.HasField("size_bytes") else None,
        append_rate=size.append_rate,
    )


def _topic(topic: topics_pb2.Topic, size: TopicSize | None = None) -> TopicDescription:
    return TopicDescription(
        name=topic.name,
        topic_id=topic.topic_id,
        partitions=tuple(
            PartitionInfo(
                partition=each.partition,
                hash_lo=each.hash_lo,
                hash_hi=each.hash_hi,
                sealed=each.sealed,
                parents=tuple(each.parents),
                split_at=each.split_at if each.HasField("split_at") else None,
                leader=each.leader,
                replicas=tuple(each.replicas),
            )
            for each in topic.partitions
        ),
        config=dict(sorted(topic.config.items())),
        partitioning_epoch=topic.partitioning_epoch,
        internal=topic.internal,
        created_ms=topic.created_ms,
        replication_factor=topic.replication_factor,
        size=size,
    )


def _partition(state: topics_pb2.PartitionState) -> PartitionDescription:
    return PartitionDescription(
        topic=state.topic,
        topic_id=state.topic_id,
        partition=state.partition,
        leader=state.leader,
        leader_epoch=state.leader_epoch,
        isr=tuple(state.isr),
        log_start_offset=state.log_start_offset,
        high_watermark=state.high_watermark,
        log_end_offset=state.log_end_offset,
        synced_end_offset=state.synced_end_offset,
        size_bytes=state.size_bytes,
        segments=state.segments,
        error=error_of(state),
    )
