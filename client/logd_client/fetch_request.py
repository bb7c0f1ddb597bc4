"""FetchStreamRequest, by generated code."""

from typing import NamedTuple

from logd_client.core.fetch_session import FetchPlan
from logd_proto.v1 import data_pb2


class FetchLimits(NamedTuple):
    """The bounds that stand in every request."""

    min_bytes: int
    max_bytes: int
    max_partition_bytes: int
    max_wait_ms: int
    isolation: data_pb2.Isolation


def serialize_request(plan: FetchPlan, limits: FetchLimits) -> bytes:
    """A FetchStreamRequest."""
    return data_pb2.FetchStreamRequest(
        correlation_id=plan.correlation_id,
        partitions=[
            data_pb2.FetchPartition(
                topic_id=each.topic_id,
                partition=each.partition,
                offset=each.offset,
                max_bytes=limits.max_partition_bytes,
            )
            for each in plan.upserts
        ],
        forget=[
            data_pb2.ForgetPartition(topic_id=topic_id, partition=partition)
            for topic_id, partition in plan.forgets
        ],
        min_bytes=limits.min_bytes,
        max_bytes=limits.max_bytes,
        max_wait_ms=limits.max_wait_ms,
        isolation=limits.isolation,
        in_parts=True,
    ).SerializeToString()
