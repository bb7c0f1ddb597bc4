"""ProduceStreamRequest and its answers as bytes: the hot path walks them without generated code.

The generated parser copies every batch twice (over 1 s of CPU a gigabyte). This walk takes fields
in number order, each at most once, as every generated serializer writes them; anything else, known
or not, falls to the generated parser. Source: protobuf encoding guide.
"""

from collections.abc import Iterable
from typing import NamedTuple

from logd.model.errors import InvalidConfig
from logd.model.seams import Buffer
from logd_proto.v1 import data_pb2

FIELDS_PER_MESSAGE_MAX = 16_384
"""Entries or records of one message: 1 MiB of the smallest batches has half of them. An empty one
takes two bytes of a message and fifty times that of memory, so they are counted before parsing."""
UNCOUNTED_BYTES_MAX = 1 << 20
"""Up to there what records hold is not counted: at its worst it takes 50 MiB of memory."""
NESTED_FIELDS_MAX = 100_000
"""10,000 records of four fields and six headers each."""
_RECORDS = 0x1A  # ProduceRequest.records: field 3, length-delimited
_ENTRIES = 0x0A  # field 1, length-delimited
_BATCH = 0x7A  # field 15, length-delimited
_TOPIC_ID = 0x12
_VARINTS = {0x08: 0, 0x18: 2, 0x20: 3, 0x28: 4, 0x30: 5}  # tag -> position in Entry


class Entry(NamedTuple):
    """One ProduceEntry; `batch` is a view into the message."""

    correlation_id: int
    topic_id: bytes
    partition: int
    partitioning_epoch: int
    acks: int
    timeout_ms: int
    batch: Buffer


def parse_produce_request(message: Buffer) -> list[Entry]:
    """Raises google.protobuf.message.DecodeError where the message is none, InvalidConfig where it
    has too many entries."""
    entries = _walk(message)
    if entries is None:
        check_field_count(message)
        parsed = data_pb2.ProduceStreamRequest.FromString(bytes(message))
        entries = [
            Entry(
                e.correlation_id,
                e.topic_id,
                e.partition,
                e.partitioning_epoch,
                e.acks,
                e.timeout_ms,
                e.batch,
            )
            for e in parsed.entries
        ]
    return entries


def check_field_count(message: Buffer) -> None:
    """Raises InvalidConfig past FIELDS_PER_MESSAGE_MAX; what is no message passes."""
    _count_fields(message, 0, len(message), FIELDS_PER_MESSAGE_MAX, None)


def check_plain_request(message: bytes) -> None:
    """As `check_field_count` of a ProduceRequest; of a large one also what its records hold."""
    check_field_count(message)
    if len(message) > UNCOUNTED_BYTES_MAX:
        _count_fields(message, 0, len(message), NESTED_FIELDS_MAX, _RECORDS)


def _count_fields(message: Buffer, at: int, end: int, left: int, nested: int | None) -> int:
    """How many of `left` are not used by the fields in [at, end), those in `nested` included."""
    try:
        while at < end:
            left -= 1
            if left < 0:
                raise InvalidConfig(
                    f"a message has at most {FIELDS_PER_MESSAGE_MAX} entries or records, and a "
                    f"large one {NESTED_FIELDS_MAX} fields and headers in them: send several",
                    limit=FIELDS_PER_MESSAGE_MAX,
                )
            tag, at = _varint(message, at)
            wire_type = tag & 7
            if wire_type == 0:
                _, at = _varint(message, at)
            elif wire_type == 1:
                at += 8
            elif wire_type == 2:
                length, at = _varint(message, at)
                if tag == nested:
                    left = _count_fields(message, at, at + length, left, None)
                at += length
            elif wire_type == 5:
                at += 4
    except IndexError:
        pass  # the parser will say so
    return left


def _walk(message: Buffer) -> list[Entry] | None:
    """None where the canonical order does not hold."""
    view, at, end = memoryview(message), 0, len(message)
    entries: list[Entry] = []
    try:
        while at < end:
            if message[at] != _ENTRIES or len(entries) == FIELDS_PER_MESSAGE_MAX:
                return None
            length, at = _varint(message, at + 1)
            entry = _walk_entry(message, view, at, at + length)
            if entry is None or at + length > end:
                return None
            entries.append(entry)
            at += length
    except IndexError:
        return None
    return entries


def _walk_entry(message: Buffer, view: memoryview, at: int, end: int) -> Entry | None:
    numbers = [0, 0, 0, 0, 0, 0]
    topic_id = b""
    last_tag = 0
    while at < end:
        tag = message[at]
        if tag <= last_tag:
            return None
        last_tag = tag
        slot = _VARINTS.get(tag)
        if slot is not None:
            numbers[slot], at = _varint(message, at + 1)
            continue
        length, at = _varint(message, at + 1)
        if at + length > end:
            return None
        if tag == _BATCH:
            if at + length != end:
                return None
            return Entry(
                numbers[0],
                topic_id,
                numbers[2],
                numbers[3],
                numbers[4],
                numbers[5],
                view[at:end],
            )
        if tag != _TOPIC_ID:
            return None
        topic_id = bytes(message[at : at + length])
        at += length
    return None


def _varint(message: Buffer, at: int) -> tuple[int, int]:
    byte = message[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = message[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
        if shift > 63:
            raise IndexError("a varint has at most ten bytes")


def serialize_acks(acks: Iterable[data_pb2.ProduceAck]) -> bytes:
    return data_pb2.ProduceStreamResponse(acks=acks).SerializeToString()
