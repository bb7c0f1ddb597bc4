"""Batches as a client of another make writes them, right or wrong, and every way to get one wrong.

The body is what the generated protobuf class writes, the header what `struct` packs: nothing is
shared with `logd.model`, and nothing is checked.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import lz4.frame
import zstandard
from crc32c import crc32c

from logd_proto.v1.batch_pb2 import BatchBody

INT64 = (-(1 << 63), (1 << 63) - 1)
INT32 = (-(1 << 31), (1 << 31) - 1)
UINT32, UINT16, UINT8 = (0, (1 << 32) - 1), (0, (1 << 16) - 1), (0, 255)
TIME_MS = 1_700_000_000_000
RECORDS = 3

HEADER = {
    "batch_length": ("I", UINT32),
    "magic": ("I", UINT32),
    "header_crc": ("I", UINT32),
    "leader_epoch": ("i", INT32),
    "base_offset": ("q", INT64),
    "append_timestamp_ms": ("q", INT64),
    "synced_hint": ("q", INT64),
    "leader_flags": ("H", UINT16),
    "reserved": ("H", UINT16),
    "body_crc": ("I", UINT32),
    "body_format": ("B", UINT8),
    "codec": ("B", UINT8),
    "producer_flags": ("H", UINT16),
    "record_count": ("I", UINT32),
    "last_offset_delta": ("I", UINT32),
    "uncompressed_bytes": ("I", UINT32),
    "base_timestamp_ms": ("q", INT64),
    "max_timestamp_ms": ("q", INT64),
    "producer_id": ("q", INT64),
    "producer_epoch": ("i", INT32),
    "base_sequence": ("i", INT32),
}
"""The fields in order: their types, and the least and the largest that can stand there."""
_HEADER = struct.Struct("<" + "".join(kind for kind, _ in HEADER.values()))
_MAGIC = int.from_bytes(b"LGB1", "little")
CODECS = (0, 1, 2)


def ends(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)


def int64s(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


COLUMNS = {
    "value_ends": ends(0, 2, 2, 5),
    "values": b"abcde",
    "value_nulls": b"\x05",
    "key_ends": ends(0, 1, 1, 2),
    "keys": b"kl",
    "key_nulls": b"\x05",
    "timestamp_deltas": int64s(0, 5, -7),
    "header_ends": ends(0, 2, 2, 3),
    "header_name_ends": ends(0, 1, 3, 5),
    "header_names": "aéxy".encode(),
    "header_value_ends": ends(0, 1, 1, 3),
    "header_values": b"123",
    "header_value_nulls": b"\x05",
}
"""Three records in which every column stands."""


@dataclass(frozen=True)
class ForeignBatch:
    """`header` overrides what its fields would be; `frame` what the codec makes of the body."""

    name: str
    columns: dict[str, bytes] = field(default_factory=lambda: dict(COLUMNS))
    header: dict[str, int] = field(default_factory=dict)
    codec: int = 0
    frame: bytes | None = None
    tail: bytes = b""

    def body(self) -> bytes:
        raw = BatchBody(**self.columns).SerializeToString() + self.tail
        pad = -(len(raw) + 3) % 8
        return raw if len(raw) % 8 == 0 else raw + b"\xfa\x01" + bytes([pad]) + bytes(pad)

    def encoded(self) -> bytes:
        body = self.body()
        stored = compressed(body, self.codec) if self.frame is None else self.frame
        stored += bytes(-len(stored) % 8)
        fields: dict[str, Any] = dict.fromkeys(HEADER, 0)
        fields |= {"batch_length": 96 + len(stored), "magic": _MAGIC, "codec": self.codec}
        fields |= {"record_count": RECORDS, "last_offset_delta": RECORDS - 1}
        fields |= {"uncompressed_bytes": len(body)}
        fields |= {"base_timestamp_ms": TIME_MS, "max_timestamp_ms": TIME_MS + 5}
        fields |= {"producer_id": -1, "producer_epoch": -1, "base_sequence": -1}
        fields |= self.header
        raw = bytearray(_HEADER.pack(*fields.values()) + stored)
        if "body_crc" not in self.header:
            raw[44:48] = struct.pack("<I", crc32c(bytes(raw[48:])))
        return bytes(raw)


def compressed(body: bytes, codec: int) -> bytes:
    if codec == 1:
        return bytes(lz4.frame.compress(body))
    return zstandard.compress(body) if codec == 2 else body


def every_case(good_id: int) -> Iterator[ForeignBatch]:
    """Each field of the header at its ends and next to what it should be, each column cut, longer,
    absent, and with each entry at its extremes, with each codec; and frames that are none."""
    for codec in CODECS:
        whole = ForeignBatch(f"codec {codec}", codec=codec)
        yield whole
        for case in [*_headers(whole, good_id), *_columns(whole)]:
            yield replace(case, name=f"codec {codec}, {case.name}")
        if codec:
            for case in _frames(whole):
                yield replace(case, name=f"codec {codec}, frame {case.name}")


def _headers(whole: ForeignBatch, good_id: int) -> Iterator[ForeignBatch]:
    right = dict(zip(HEADER, _HEADER.unpack_from(whole.encoded()), strict=True))
    for name, (_, (low, high)) in HEADER.items():
        near = {right[name] - 1, right[name] + 1}
        for value in sorted({low, low + 1, -1, 0, 1, high - 1, high} | near):
            if low <= value <= high:
                yield replace(whole, name=f"{name} {value}", header={name: value})
    for low_ms, high_ms in ((0, 0), (0, TIME_MS), (TIME_MS, TIME_MS), (INT64[1], INT64[1])):
        times = {"base_timestamp_ms": low_ms, "max_timestamp_ms": high_ms}
        yield replace(whole, name=f"times {low_ms} {high_ms}", header=times)
    for count in (0, 1, 2, 4, 1 << 20, (1 << 20) + 1, UINT32[1]):
        counts = {"record_count": count, "last_offset_delta": (count - 1) & UINT32[1]}
        yield replace(whole, name=f"counts {count}", header=counts)
    for epoch in (-1, 0, 1, INT32[1]):
        for sequence in (-1, 1, INT32[1]):  # 0 would be right
            producer = {"producer_id": good_id, "producer_epoch": epoch, "base_sequence": sequence}
            yield replace(whole, name=f"epoch {epoch} sequence {sequence}", header=producer)


def _columns(whole: ForeignBatch) -> Iterator[ForeignBatch]:
    def changed(what: str, **columns: bytes) -> ForeignBatch:
        kept = {k: v for k, v in (COLUMNS | columns).items() if v}
        return replace(whole, name=what, columns=kept)

    for name, column in COLUMNS.items():
        lengths = (column[:-1], column[:-4], column + b"\0", column + bytes(8), column * 2, b"")
        for number, other in enumerate(lengths):
            yield changed(f"{name} length {number}", **{name: other})
        for other in (bytes(len(column)), b"\xff" * len(column)):
            yield changed(f"{name} all {other[0]}", **{name: other})
        if not name.endswith(("ends", "deltas")):
            continue
        width, (low, high) = (8, INT64) if name == "timestamp_deltas" else (4, INT32)
        for at in range(0, len(column), width):
            entry = int.from_bytes(column[at : at + width], "little", signed=True)
            edges = {low, low + 1, -1, 0, 1, high - 1, high, entry - 1, entry + 1}
            if width == 8:
                edges |= {
                    sign * (1 << bits) + off
                    for bits in (55, 56, 62)
                    for sign in (1, -1)
                    for off in (-1, 0, 1)
                }
                edges |= {high - TIME_MS, high - TIME_MS + 1, -TIME_MS, -TIME_MS - 1}
            for value in sorted(edges):
                raw = value.to_bytes(width, "little", signed=True)
                yield changed(
                    f"{name}[{at // width}] {value}",
                    **{name: column[:at] + raw + column[at + width :]},
                )
    for deltas in (ends(0, 1, 2), ends(0, 0, 2), ends(-1, 1, 2), ends(0, 1, INT32[1]), ends(0, 1)):
        yield changed(f"offset_deltas {deltas.hex()}", offset_deltas=deltas)
    for flags in (bytes(3), b"\0\0\1", b"\xff\xff\xff", b"\0"):
        yield changed(f"record_flags {flags.hex()}", record_flags=flags)
    for names in (b"a\xffxyz", b"\xed\xa0\x80yz", b"a\0\0\0\0"):
        yield changed(f"header_names {names!r}", header_names=names)
    no_headers = {name: b"" for name in COLUMNS if name.startswith("header")}
    yield changed("no headers", **no_headers)
    yield changed("no keys", key_ends=b"", keys=b"", key_nulls=b"")
    yield changed("no values", value_ends=b"", values=b"", value_nulls=b"")
    yield changed("times alone", **{n: b"" for n in COLUMNS if n != "timestamp_deltas"})
    most = (1 << 20) + 1
    yield changed(
        "too many headers",
        **no_headers
        | {"header_ends": ends(0, 0, 0, most), "header_name_ends": bytes(4 * (most + 1))},
    )
    for tail in (
        b"\xff",
        b"\x00\x00",
        b"\x0b",
        b"\x82\x02\xff\xff\xff\xff\x7f",
        b"\x12\x00",
        b"\x08\x01",
    ):
        yield replace(whole, name=f"tail {tail.hex()}", tail=tail)


def _frames(whole: ForeignBatch) -> Iterator[ForeignBatch]:
    body = whole.body()
    frame = compressed(body, whole.codec)
    frames = {
        "empty": b"",
        "zeros": bytes(64),
        "the bare body": body,
        "cut": frame[:-9],
        "half": frame[: len(frame) // 2],
        "flipped": frame[:20] + bytes([frame[20] ^ 255]) + frame[21:],
        "twice": frame * 2,
        "of nothing": compressed(b"", whole.codec),
        "of another": compressed(body, 3 - whole.codec),
        "of less": compressed(body[:-8], whole.codec),
        "of more": compressed(body + bytes(8), whole.codec),
        "of much more": compressed(body + bytes(1 << 22), whole.codec),
        "skippable": b"\x50\x2a\x4d\x18\x08\0\0\0" + bytes(8),
    }
    for name, other in frames.items():
        yield replace(whole, name=name, frame=other)
