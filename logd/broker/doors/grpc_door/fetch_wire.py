"""FetchStreamResponse as bytes: heads by generated code, batches joined in with a single copy."""

from collections.abc import Sequence

from logd.broker.doors.grpc_door.proto_errors import to_proto_error
from logd.broker.ports import Fetched
from logd.model.seams import Buffer
from logd_proto.v1 import data_pb2

_RESULTS_TAG = b"\x1a"  # FetchStreamResponse.results: field 3, length-delimited
_MORE = b"\x20\x01"  # FetchStreamResponse.more: field 4, true
_BATCHES_TAG = b"\x7a"  # FetchResult.batches: field 15, length-delimited


def fetch_result_head(fetched: Fetched) -> data_pb2.FetchResult:
    """A FetchResult without its batches."""
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


def serialize_fetch_response(
    correlation_id: int, results: Sequence[Fetched], *, more: bool = False
) -> bytes:
    """The whole message. The views in `results` are copied here, once."""
    head = data_pb2.FetchStreamResponse(correlation_id=correlation_id).SerializeToString()
    parts: list[Buffer] = [head]
    for fetched in results:
        result = fetch_result_head(fetched).SerializeToString()
        size = len(fetched.batches)
        if size:
            result += _BATCHES_TAG + _varint(size)
        parts += (_RESULTS_TAG, _varint(len(result) + size), result, fetched.batches)
    if more:
        parts.append(_MORE)
    return b"".join(parts)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
