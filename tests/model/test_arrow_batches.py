"""Arrow faces of a RecordBatch: the same records as the Python lists, and no copy of the bytes."""

import subprocess
import sys
from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reference_batch import ReferenceRecord, encode, records
from logd.model.batch_decoder import DecodedBatch, decode_batch
from logd.model.batch_encoder import encode_batch
from logd.model.errors import MissingPackage
from logd.model.record_batch import Codec, LeaderFlag, stamp
from logd_client.record_batch import RecordBatch

pa = pytest.importorskip("pyarrow")


def stored(raw: bytes, flags: int = 0) -> bytes:
    head = stamp(
        raw,
        leader_epoch=7,
        base_offset=1 << 40,
        append_timestamp_ms=1_700_000_000_123,
        synced_hint=0,
        leader_flags=flags,
    )
    return head + raw[len(head) :]


def with_gaps(decoded: DecodedBatch, steps: list[int]) -> DecodedBatch:
    """The same records as compaction leaves them, `steps` offsets apart."""
    deltas = array("i", [sum(steps[: i + 1]) for i in range(len(decoded))])
    header = decoded.header._replace(last_offset_delta=deltas[-1])
    columns = decoded.columns._replace(offset_deltas=memoryview(deltas.tobytes()))
    return DecodedBatch(header, columns)


def check(batch: RecordBatch) -> None:
    """Each Arrow face against the list face of the same batch."""
    arrow = batch.to_arrow()
    arrow.validate(full=True)
    assert len(arrow) == len(batch)
    whole = arrow.to_pydict()
    assert whole["partition"] == [batch.partition] * len(batch)
    assert whole["offset"] == list(batch.offsets)
    millis = {name: arrow[name].view(pa.int64()).to_pylist() for name in ("timestamp",)}
    assert millis["timestamp"] == list(batch.timestamps_ms)
    assert arrow["append_timestamp"].view(pa.int64()).to_pylist() == [
        batch.append_timestamp_ms
    ] * len(batch)
    assert whole["key"] == batch.keys == batch.arrow_keys.to_pylist()
    assert whole["value"] == batch.values == batch.arrow_values.to_pylist()
    assert [[(h["name"], h["value"]) for h in of] for of in whole["headers"]] == [
        list(of) for of in batch.headers
    ]


@given(records(), st.sampled_from(Codec), st.booleans(), st.integers(0, 7), st.data())
def test_arrow_is_what_the_lists_are(
    of: list[ReferenceRecord], codec: Codec, append_time: bool, shift: int, data: st.DataObject
) -> None:
    raw = stored(encode(of, codec), LeaderFlag.APPEND_TIME if append_time else 0)
    decoded = decode_batch(memoryview(bytes(shift) + raw)[shift:])
    if data.draw(st.booleans()):
        steps = st.lists(st.integers(1, 9), min_size=len(of), max_size=len(of))
        decoded = with_gaps(decoded, data.draw(steps))
    start = data.draw(st.integers(0, len(of) - 1))
    check(RecordBatch("t", 3, decoded, start, decoded.header.next_offset))


def test_keys_and_values_are_the_batchs_own_bytes() -> None:
    raw = encode_batch([b"value%d" % i for i in range(50)], keys=[b"k"] * 50, timestamps_ms=1)
    begin = pa.py_buffer(raw).address
    batch = RecordBatch("t", 0, decode_batch(raw), 0, 50)
    columns = batch.to_arrow()
    for column in (columns["key"], columns["value"], batch.arrow_keys, batch.arrow_values):
        for buffer in column.buffers()[1:]:
            assert begin <= buffer.address < begin + len(raw)


def test_data_frames_have_the_columns_of_arrow() -> None:
    polars, pandas = pytest.importorskip("polars"), pytest.importorskip("pandas")
    raw = stored(encode_batch([b"a", None, b"c"], keys=[b"k", b"", None], timestamps_ms=[1, 0, 9]))
    batch = RecordBatch("t", 3, decode_batch(raw), 1, 3)
    frame = batch.to_polars()
    assert isinstance(frame, polars.DataFrame) and frame["value"].to_list() == [None, b"c"]
    assert frame["timestamp"].to_list() == [
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms) for ms in (0, 9)
    ]
    table = batch.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table["key"]) == [b"", None] and list(table["offset"]) == list(batch.offsets)
    assert list(table.columns) == list(frame.columns) == batch.to_arrow().schema.names


@pytest.mark.parametrize(
    ("absent", "call", "hint"),
    [
        ("pyarrow", RecordBatch.to_arrow, "pip install 'logd[arrow]'"),
        ("pyarrow", lambda batch: batch.arrow_values, "pip install 'logd[arrow]'"),
        ("pyarrow", lambda batch: batch.arrow_keys, "pip install 'logd[arrow]'"),
        ("polars", RecordBatch.to_polars, "pip install 'polars'"),
        ("pandas", RecordBatch.to_pandas, "pip install 'pandas'"),
    ],
)
def test_what_is_not_installed_is_named(
    absent: str,
    call: Callable[[RecordBatch], object],
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = RecordBatch("t", 0, decode_batch(encode_batch([b"a"], timestamps_ms=1)), 0, 1)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingPackage, match=absent) as caught:
        call(batch)
    assert hint in caught.value.message and caught.value.details == {"package": absent}


def test_the_sdk_imports_pyarrow_only_when_asked() -> None:
    program = (
        "import sys, logd, logd.sync as s; logd.Consumer, s.Consumer, logd.RecordBatch;"
        "assert not {'pyarrow', 'polars', 'pandas'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
