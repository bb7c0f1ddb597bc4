"""FetchResults without their batches."""

from logd.broker.ports import Fetched
from logd.wire.proto_errors import to_proto_error
from logd_proto.v1 import data_pb2


def fetch_result_head(fetched: Fetched) -> data_pb2.FetchResult:
    """All but the batches."""
    topic_partition = fetched.topic_partition
    return data_pb2.FetchResult(
        topic_id=topic_partition.topic_id,
        partition=topic_partition.partition,
        high_watermark=fetched.high_watermark,
        log_start_offset=fetched.log_start_offset,
        last_stable_offset=fetched.high_watermark,
        next_offset=fetched.next_offset,
        leader_epoch=fetched.leader_epoch,
        error=None if fetched.error is None else to_proto_error(fetched.error),
    )
