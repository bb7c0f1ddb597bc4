"""FetchStreamResponse as bytes: written and walked around the batches.

Generated code would copy the batches (over 1 s of CPU a gigabyte). Written are heads by generated
code, with the batches joined in by a single copy; read, they stay views of the message as it
arrived. Any order of fields is read, and unknown fields are skipped.
"""

from collections.abc import Iterable
from typing import NamedTuple

from google.protobuf.message import DecodeError

from logd.model.errors import LogdError, UnsupportedVersion
from logd.model.seams import Buffer
from logd.model.varint import TAG_BYTES_MAX, VARINT_BYTES_MAX, read_varint, write_varint
from logd.wire.proto_errors import from_proto_error
from logd_proto.v1 import common_pb2, data_pb2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_CORRELATION_ID, _THROTTLE_MS, _RESULTS, _MORE = 0x08, 0x10, 0x1A, 0x20
_TOPIC_ID, _ERROR, _BATCHES = 0x0A, 0x4A, 0x7A
_NUMBERS_END = 0x38  # of a result: fields 2 to 6 are what is read; a number's tag is its field * 8
_UINT32 = (1 << 32) - 1
_INT64_END = 1 << 63


class PartitionFetched(NamedTuple):
    """What one partition gave. `batches` are whole; the first may begin before the position."""

    topic_id: bytes
    partition: int
    high_watermark: int
    log_start_offset: int
    next_offset: int
    error: LogdError | None
    batches: memoryview


class FetchAnswer(NamedTuple):
    """One FetchStreamResponse: an answer, or with `more` a part that is not its last."""

    correlation_id: int
    throttle_ms: int
    fetched: list[PartitionFetched]
    more: bool


def write_fetch_response(
    correlation_id: int,
    results: Iterable[tuple[data_pb2.FetchResult, Buffer]],
    *,
    more: bool = False,
) -> bytes:
    """One message, of results without their batches, and these. They are copied here, once."""
    parts: list[Buffer] = [
        data_pb2.FetchStreamResponse(correlation_id=correlation_id).SerializeToString()
    ]
    for result, batches in results:
        head, size = result.SerializeToString(), len(batches)
        if size:
            head += b"\x7a" + write_varint(size)
        parts += (b"\x1a" + write_varint(len(head) + size), head, batches)
    if more:
        parts.append(b"\x20\x01")
    return b"".join(parts)


def read_fetch_response(message: Buffer) -> FetchAnswer:
    """Raises UnsupportedVersion for what is none."""
    view = memoryview(message)
    correlation_id = throttle_ms = more = at = 0
    fetched: list[PartitionFetched] = []
    try:
        while at < len(view):
            tag, value, start, at = _field(view, at, len(view))
            if tag == _RESULTS:
                fetched.append(_partition(view, start, at))
            elif tag == _CORRELATION_ID:
                correlation_id = value
            elif tag == _THROTTLE_MS:
                throttle_ms = value & _UINT32
            elif tag == _MORE:
                more = value
    except (IndexError, ValueError, DecodeError) as error:
        raise UnsupportedVersion(
            f"the broker's answer is no FetchStreamResponse: {error}"
        ) from None
    return FetchAnswer(correlation_id, throttle_ms, fetched, bool(more))


def _partition(view: memoryview, at: int, end: int) -> PartitionFetched:
    topic_id, batches, error = b"", view[:0], None
    numbers = [0] * (_NUMBERS_END >> 3)
    while at < end:
        tag, value, start, at = _field(view, at, end)
        if tag == _BATCHES:
            batches = view[start:at]
        elif tag == _TOPIC_ID:
            topic_id = bytes(view[start:at])
        elif tag == _ERROR:
            error = from_proto_error(common_pb2.Error.FromString(bytes(view[start:at])))
        elif tag < _NUMBERS_END and not tag & 7:
            numbers[tag >> 3] = value if value < _INT64_END else value - (_INT64_END << 1)
    _, _, partition, high_watermark, log_start_offset, _, next_offset = numbers
    if error is not None and next_offset:
        error.details.setdefault("next_offset", str(next_offset))
    return PartitionFetched(
        topic_id, partition & _UINT32, high_watermark, log_start_offset, next_offset, error, batches
    )


def _field(view: memoryview, at: int, end: int) -> tuple[int, int, int, int]:
    """The tag, the varint (else 0), and where the field's content lies. Raises IndexError,
    ValueError where it is cut or none."""
    tag = view[at]
    at += 1
    if tag > 0x7F:
        tag, at = read_varint(view, at - 1, TAG_BYTES_MAX)
    kind = tag & 7
    if kind in (_VARINT, _BYTES):
        value = view[at]
        at += 1
        if value > 0x7F:
            bytes_max = VARINT_BYTES_MAX if kind == _VARINT else TAG_BYTES_MAX
            value, at = read_varint(view, at - 1, bytes_max)
        start, stop = at, at if kind == _VARINT else at + value
    elif kind in _FIXED_BYTES:
        value, start, stop = 0, at, at + _FIXED_BYTES[kind]
    else:
        raise ValueError(f"wire type {kind} at byte {at}")
    if stop > end:
        raise ValueError(f"a field that ends at byte {stop} is cut at byte {end}")
    return tag, value, start, stop
