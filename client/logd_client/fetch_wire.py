"""FetchStream's messages: requests by generated code, answers walked by hand.

The generated parser would copy the batches, over a second a GB; here they stay views of the message
as it arrived. Any order of fields is read, and unknown fields are skipped.
"""

from collections.abc import Iterator
from typing import NamedTuple

from logd.model.errors import UnsupportedVersion, error_from_reason
from logd.model.seams import Buffer
from logd_client.core.consumer_positions import PartitionFetched
from logd_client.core.fetch_session import FetchPlan
from logd_proto.v1 import common_pb2, data_pb2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_INT64_SIGN = 1 << 63


class FetchLimits(NamedTuple):
    """The bounds that stand in every request."""

    min_bytes: int
    max_bytes: int
    max_partition_bytes: int
    max_wait_ms: int
    isolation: data_pb2.Isolation


class FetchAnswer(NamedTuple):
    """One FetchStreamResponse: an answer, or with `more` a part that is not its last."""

    correlation_id: int
    throttle_ms: int
    fetched: list[PartitionFetched]
    more: bool


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


def parse_answer(message: Buffer) -> FetchAnswer:
    """A FetchStreamResponse. Raises UnsupportedVersion for what is none."""
    correlation_id = throttle_ms = more = 0
    fetched: list[PartitionFetched] = []
    try:
        for number, value in _fields(memoryview(message)):
            if number == 1:
                correlation_id = _int(value)
            elif number == 2:
                throttle_ms = _int(value)
            elif number == 3:
                fetched.append(_partition(_view(value)))
            elif number == 4:
                more = _int(value)
    except (IndexError, ValueError, TypeError) as error:
        raise UnsupportedVersion(
            f"the broker's answer is no FetchStreamResponse: {error}"
        ) from None
    return FetchAnswer(correlation_id, throttle_ms, fetched, bool(more))


def _partition(view: memoryview) -> PartitionFetched:
    topic_id, batches, error = b"", memoryview(b""), None
    numbers = [0] * 7
    for number, value in _fields(view):
        if number == 15:
            batches = _view(value)
        elif number == 1:
            topic_id = bytes(_view(value))
        elif number == 9:
            sent = common_pb2.Error.FromString(bytes(_view(value)))
            error = error_from_reason(sent.reason, sent.message, sent.details)
        elif number < 7:
            numbers[number] = _int(value)
    _, _, partition, high_watermark, log_start_offset, _, next_offset = numbers
    if error is not None and next_offset:
        error.details.setdefault("next_offset", str(next_offset))
    return PartitionFetched(
        topic_id, partition, high_watermark, log_start_offset, next_offset, error, batches
    )


def _int(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise TypeError("a number was expected")
    return value if value < _INT64_SIGN else value - (_INT64_SIGN << 1)


def _view(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise TypeError("bytes were expected")
    return value


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, varint or bytes) of each field; fixed-width fields are skipped."""
    at, end = 0, len(view)
    while at < end:
        tag, at = _varint(view, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(view, at)
            yield tag >> 3, value
        elif kind == _BYTES:
            length, at = _varint(view, at)
            if length > end - at:
                raise ValueError(f"a field of {length} bytes is cut at byte {at}")
            yield tag >> 3, view[at : at + length]
            at += length
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {at}")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    byte = view[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while shift < 70:
        at += 1
        byte = view[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
    raise ValueError(f"a varint of over 10 bytes at byte {at}")
