"""docs/batch.md, from which others write their codecs, against this one."""

import re
import struct
from pathlib import Path

from harness.reference_batch import reference_rows
from logd.model.batch_body import BodyColumns
from logd.model.batch_decoder import decode_batch
from logd.model.batch_encoder import encode_batch
from logd.model.record_batch import HEADER_BYTES, BatchHeader, is_intact, stamp

DOCUMENT = (Path(__file__).parents[2] / "docs/batch.md").read_text("utf-8")
T0 = 1_700_000_000_000


def example() -> bytes:
    """The worked example; each line's position is checked on the way."""
    raw = b""
    for line in DOCUMENT.split("```")[1].splitlines():
        if match := re.fullmatch(r"((?:[0-9a-f]{2,} )+) +(\d+) .*", line):
            assert int(match[2]) == len(raw), line
            raw += bytes.fromhex(match[1])
    return raw


def test_the_worked_example_is_what_the_encoder_makes() -> None:
    produced = encode_batch(
        [b"hello", None], keys=[b"k1", b"k2"], timestamps_ms=[T0, T0 + 5], headers=[[], []]
    )
    header = stamp(
        produced,
        leader_epoch=7,
        base_offset=42,
        append_timestamp_ms=T0 + 100,
        synced_hint=40,
    )
    assert example().hex() == (header + produced[HEADER_BYTES:]).hex()
    assert is_intact(example())


def test_the_worked_example_decodes() -> None:
    batch = decode_batch(example())
    assert batch.values == [b"hello", None] and batch.keys == [b"k1", b"k2"]
    assert batch.timestamps_ms == [T0, T0 + 5] and batch.offsets == range(42, 44)
    assert [row.value for row in reference_rows(example())] == batch.values


def test_the_header_table_is_the_header() -> None:
    rows = re.findall(r"\| (\d+) \| (\w+)(?: bytes)? \| (\w+) \| (?:producer|leader) \|", DOCUMENT)
    codes = {"u8": "B", "u16": "H", "u32": "I", "i32": "i", "i64": "q", "4": "4s"}
    assert [name for _, _, name in rows] == list(BatchHeader._fields)
    layout = "<"
    for at, kind, _ in rows:
        assert struct.calcsize(layout) == int(at)
        layout += codes[kind]
    assert struct.calcsize(layout) == HEADER_BYTES


def test_the_body_table_is_the_body() -> None:
    rows = re.findall(r"\| (\d+) \| (\d+) \| (\w+) \|", DOCUMENT)
    assert rows == [(str(k), str(2 * k), name) for k, name in enumerate(BodyColumns._fields, 1)]
