"""ProduceStreamRequest as bytes: written and walked around the batches, which stay as they are.

Generated code would copy every batch twice (over 1 s of CPU a gigabyte). Written are heads by
generated code, with the batches joined in once. The walk takes what is so written, by any generated
serializer: fields in number order, each at most once; anything else, known or not, falls to the
generated parser. Source: protobuf encoding guide.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from logd.model.seams import Buffer
from logd.model.varint import TAG_BYTES_MAX, VARINT_BYTES_MAX, read_varint, write_varint
from logd.wire.field_counts import FIELDS_PER_MESSAGE_MAX, check_field_count
from logd_proto.v1 import data_pb2

_ENTRIES = 0x0A  # field 1, length-delimited
_BATCH = 0x7A  # field 15, length-delimited
_TOPIC_ID = 0x12
_NUMBERS = {0x08: 0, 0x18: 2, 0x20: 3, 0x28: 4, 0x30: 5}  # tag -> position in ProduceEntry
_UINT32, _UINT64, _ENUM = (1 << 32) - 1, (1 << 64) - 1, (1 << 31) - 1
_MOST = (_UINT64, 0, _UINT32, _UINT32, _ENUM, _UINT32)
"""Of each: past it protobuf drops bits, in ways that are not repeated here."""


class ProduceEntry(NamedTuple):
    """One batch, and where it goes; one that was read is a view into its message."""

    correlation_id: int
    topic_id: bytes
    partition: int
    partitioning_epoch: int
    acks: int
    timeout_ms: int
    batch: Buffer


_FIELDS = attrgetter(*ProduceEntry._fields)


def write_produce_request(entries: Sequence[ProduceEntry]) -> bytes:
    """One message. Batches are not empty."""
    parts: list[Buffer] = []
    for entry in entries:
        size = len(entry.batch)
        head = data_pb2.ProduceEntry(
            correlation_id=entry.correlation_id,
            topic_id=entry.topic_id,
            partition=entry.partition,
            partitioning_epoch=entry.partitioning_epoch,
            acks=entry.acks,  # type: ignore[arg-type]
            timeout_ms=entry.timeout_ms,
        ).SerializeToString()
        head += b"\x7a" + write_varint(size)
        parts += (b"\x0a" + write_varint(len(head) + size), head, entry.batch)
    return b"".join(parts)


def read_produce_request(message: Buffer) -> list[ProduceEntry]:
    """Raises google.protobuf.message.DecodeError where the message is none, InvalidConfig where it
    has too many entries."""
    entries = _walk(message)
    if entries is None:
        check_field_count(message)
        parsed = data_pb2.ProduceStreamRequest.FromString(bytes(message))
        entries = [ProduceEntry(*_FIELDS(entry)) for entry in parsed.entries]
    return entries


def _walk(message: Buffer) -> list[ProduceEntry] | None:
    """None where the canonical order does not hold."""
    view, at, end = memoryview(message), 0, len(message)
    entries: list[ProduceEntry] = []
    try:
        while at < end:
            if message[at] != _ENTRIES or len(entries) == FIELDS_PER_MESSAGE_MAX:
                return None
            length, at = read_varint(message, at + 1, TAG_BYTES_MAX)
            stop = at + length
            entry = _walk_entry(view, at, stop) if stop <= end else None
            if entry is None:
                return None
            entries.append(entry)
            at = stop
    except (IndexError, ValueError):
        return None
    return entries


def _walk_entry(view: memoryview, at: int, end: int) -> ProduceEntry | None:
    fields: list[Any] = [0, b"", 0, 0, 0, 0, b""]
    last_tag = 0
    while at < end:
        tag, value = view[at], view[at + 1]
        if tag <= last_tag:
            return None
        last_tag = tag
        slot = _NUMBERS.get(tag)
        if value < 0x80:
            at += 2
        else:
            bytes_max = TAG_BYTES_MAX if slot is None else VARINT_BYTES_MAX
            value, at = read_varint(view, at + 1, bytes_max)
        if slot is not None:
            if value > _MOST[slot]:
                return None
            fields[slot] = value
            continue
        stop = at + value
        if stop > end:
            return None
        if tag == _BATCH:
            if stop != end:
                return None
            fields[6] = view[at:end]
            return ProduceEntry(*fields)
        if tag != _TOPIC_ID:
            return None
        fields[1] = bytes(view[at:stop])
        at = stop
    return None
