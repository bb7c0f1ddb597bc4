"""The columnar body of a record batch: where its buffers lie, read and written.

A body is a protobuf message `BatchBody` (proto/logd_proto/v1/batch.proto) of `bytes` fields. Field
2k is buffer k of `BodyColumns`, field 2k - 1 the zeros that bring it to a multiple of 8, field 31
the zeros at the end. Buffers are those of Arrow: `*_ends` are int32 offsets, one more than entries
and the first 0; `*_nulls` are validity bitmaps, lowest bit first, 1 where there is a value;
timestamp_deltas are int64, offset_deltas int32. Absent and empty are the same.

A few tags are walked by hand and the buffers stay views: the cost is per column, not per record.
Readers take any order of fields, each at most once, and skip `bytes` fields that they don't know.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from logd.model.errors import CorruptBatch, InvalidTimestamp
from logd.model.seams import Buffer
from logd.model.varint import TAG_BYTES_MAX, read_varint, write_varint

COLUMN_COUNT = 15
HEADERS_PER_BATCH_MAX = 1_048_576
"""Of all records together: bounds what a reader makes of a body."""
FIELDS_PER_BODY_MAX = 64
"""Bounds the walk; twice what the format has, for columns to come."""

_BYTES_WIRE_TYPE = 2
_ZEROS = bytes(8)
_INT32 = struct.Struct("<i")


class BodyColumns(NamedTuple):
    """Views of the buffers in the order of their numbers; None where absent or empty."""

    value_ends: memoryview | None
    values: memoryview | None
    value_nulls: memoryview | None
    key_ends: memoryview | None
    keys: memoryview | None
    key_nulls: memoryview | None
    timestamp_deltas: memoryview | None
    offset_deltas: memoryview | None
    record_flags: memoryview | None
    header_ends: memoryview | None
    header_name_ends: memoryview | None
    header_names: memoryview | None
    header_value_ends: memoryview | None
    header_values: memoryview | None
    header_value_nulls: memoryview | None

    @property
    def header_count(self) -> int:
        """Headers of all records together."""
        return 0 if self.header_ends is None else last_end(self.header_ends)


def last_end(ends: memoryview) -> int:
    """The last of a buffer of int32."""
    return int(_INT32.unpack_from(ends, len(ends) - 4)[0])


def check_body(body: memoryview, record_count: int) -> BodyColumns:
    """Walk an uncompressed body and check its buffers' lengths against each other, in O(columns).

    Of what is O(records), only times are looked at, at 2 ns a record, and record_flags, which no
    client writes; not that ends rise, and that names are UTF-8. Raises CorruptBatch,
    InvalidTimestamp.
    """
    columns = walk_body(body)
    c = columns
    _check_binary("value", record_count, c.value_ends, c.values, c.value_nulls)
    _check_binary("key", record_count, c.key_ends, c.keys, c.key_nulls)
    _check_length("timestamp_deltas", c.timestamp_deltas, 8 * record_count)
    _check_length("offset_deltas", c.offset_deltas, 4 * record_count)
    _check_deltas(c.timestamp_deltas)
    _check_length("record_flags", c.record_flags, record_count)
    if c.record_flags is not None and bytes(c.record_flags).strip(b"\0"):
        raise CorruptBatch("the batch has record_flags, of which none is known")
    if c.header_ends is not None:
        _check_ends("header_ends", c.header_ends, record_count)
    header_count = c.header_count
    if header_count > HEADERS_PER_BATCH_MAX or (header_count and c.header_name_ends is None):
        raise CorruptBatch(
            f"header_ends speaks of {header_count} headers, which have no names "
            f"or are more than {HEADERS_PER_BATCH_MAX}"
        )
    _check_binary("header_name", header_count, c.header_name_ends, c.header_names, None)
    _check_binary(
        "header_value", header_count, c.header_value_ends, c.header_values, c.header_value_nulls
    )
    return columns


def walk_body(body: memoryview) -> BodyColumns:
    """The buffers of a body, their lengths not yet compared. Raises CorruptBatch."""
    columns: list[memoryview | None] = [None] * (COLUMN_COUNT + 1)
    seen: set[int] = set()
    at, end = 0, len(body)
    try:
        while at < end:
            tag, length = body[at], body[at + 1]
            if tag < 0x80 and length < 0x80:
                at += 2
            else:
                tag, at = read_varint(body, at, TAG_BYTES_MAX)
                length, at = read_varint(body, at, TAG_BYTES_MAX)
            number = tag >> 3
            if tag & 7 != _BYTES_WIRE_TYPE or not number or length > end - at:
                raise CorruptBatch(f"the body is cut or no BatchBody at byte {at} (tag {tag})")
            if number in seen or len(seen) == FIELDS_PER_BODY_MAX:
                raise CorruptBatch(f"field {number} of the body stands twice, or is one too many")
            seen.add(number)
            if not number & 1 and length and number <= 2 * COLUMN_COUNT:
                columns[number >> 1] = body[at : at + length]
            at += length
    except IndexError:
        raise CorruptBatch("the body ends within a tag or a length") from None
    except ValueError as error:
        raise CorruptBatch(f"a tag or length of the body is {error}") from None
    return BodyColumns._make(columns[1:])


def frame_body(buffers: Sequence[Buffer]) -> list[Buffer]:
    """The parts of a canonical body whose buffer k is buffers[k - 1]."""
    parts: list[Buffer] = []
    at = 0
    for k, buffer in enumerate(buffers, 1):
        if not buffer:
            continue
        size = len(buffer)
        frame = _TAGS[k] + (_SMALL[size] if size <= 0x7F else write_varint(size))
        head = _PADS[k][(at + len(frame)) % 8] + frame
        parts += (head, buffer)
        at += len(head) + size
    parts.append(_PADS[COLUMN_COUNT + 1][at % 8])
    return parts


def _pad(number: int, at: int) -> bytes:
    """The pad field after which what would lie at `at` lies at a multiple of 8."""
    if at % 8 == 0:
        return b""
    tag = write_varint(number << 3 | _BYTES_WIRE_TYPE)
    count = -(at + len(tag) + 1) % 8 or 8
    return tag + bytes((count,)) + _ZEROS[:count]


_SMALL = [write_varint(size) for size in range(0x80)]
_TAGS = [write_varint(2 * k << 3 | _BYTES_WIRE_TYPE) for k in range(COLUMN_COUNT + 1)]
_PADS = [[], *([_pad(2 * k - 1, at) for at in range(8)] for k in range(1, COLUMN_COUNT + 2))]
"""Of buffer k, counted from 1: its tag, and the pad before it; the last is the tail's pad."""


def _check_binary(
    name: str,
    count: int,
    ends: memoryview | None,
    data: memoryview | None,
    nulls: memoryview | None,
) -> None:
    if ends is None:
        if data is not None or nulls is not None:
            raise CorruptBatch(f"the body has {name} data or nulls, but no {name}_ends")
        return
    _check_ends(f"{name}_ends", ends, count)
    data_bytes = 0 if data is None else len(data)
    if last_end(ends) != data_bytes:
        raise CorruptBatch(f"{name}_ends ends at {last_end(ends)}, the data at {data_bytes}")
    _check_length(f"{name}_nulls", nulls, (count + 7) // 8)


def _check_deltas(deltas: memoryview | None) -> None:
    """By the top byte of each: so a record's time is an int64 whatever time the batch begins at."""
    if deltas is not None and bytes(deltas)[7::8].translate(None, b"\0\xff"):
        raise InvalidTimestamp(
            "timestamp_deltas are from -2^56 to 2^56 - 1, but one lies outside",
            field="timestamp_deltas",
        )


def _check_ends(name: str, ends: memoryview, count: int) -> None:
    _check_length(name, ends, 4 * (count + 1))
    if _INT32.unpack_from(ends, 0)[0] != 0 or last_end(ends) < 0:
        raise CorruptBatch(f"{name} does not begin at 0 and rise")


def _check_length(name: str, buffer: memoryview | None, expected: int) -> None:
    if buffer is not None and len(buffer) != expected:
        raise CorruptBatch(f"{name} has {len(buffer)} bytes, but must have {expected}")
