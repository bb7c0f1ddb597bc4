"""The produce stream's answers, and the words of its requests."""

from logd.model.errors import LogdError
from logd.model.seams import Buffer
from logd.wire.proto_errors import from_proto_error
from logd_client.core.producer_batch import BatchReceipt
from logd_proto.v1 import data_pb2

MESSAGE_BYTES = 1 << 20
"""About what one message carries; a single larger batch goes alone."""

ACKS = {"leader": data_pb2.ACKS_LEADER, "all": data_pb2.ACKS_ALL}


def unpack_produce_response(
    message: Buffer,
) -> tuple[list[tuple[int, BatchReceipt | LogdError]], int]:
    """The answers by correlation id, and how many ms the broker asks to wait."""
    response = data_pb2.ProduceStreamResponse.FromString(bytes(message))
    return [(ack.correlation_id, _answer(ack)) for ack in response.acks], response.throttle_ms


def _answer(ack: data_pb2.ProduceAck) -> BatchReceipt | LogdError:
    if ack.HasField("error"):
        return from_proto_error(ack.error)
    return BatchReceipt(
        base_offset=ack.base_offset if ack.HasField("base_offset") else None,
        leader_epoch=ack.leader_epoch,
        append_timestamp_ms=ack.append_timestamp_ms,
        duplicate=ack.duplicate,
        replicas=ack.replicas,
        replicas_synced=ack.replicas_synced,
    )
