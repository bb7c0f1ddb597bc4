"""The two implementations of a column against each other, on each of their edges."""

import subprocess
import sys
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model import binary_columns
from logd.model.binary_columns import ALL_NULL, PackedColumn, pack_column, pack_empty, read_column
from logd.model.errors import CorruptBatch

Entries = list[bytes | None]
entries_strategy = st.lists(st.one_of(st.none(), st.binary(max_size=5)), min_size=1, max_size=40)


def as_bytes(column: PackedColumn) -> list[bytes]:
    return [bytes(buffer) for buffer in column]


def read(count: int, column: PackedColumn, shift: int = 0) -> Entries:
    views = [
        memoryview(bytes(shift) + bytes(buffer))[shift:] if buffer else None for buffer in column
    ]
    assert views[0] is not None
    return read_column(count, views[0], views[1], views[2])()


@pytest.mark.usefixtures("column_path")
class TestBothPaths:
    @pytest.mark.parametrize(
        ("entries", "ends", "data", "nulls"),
        [
            ([b""], "0000000000000000", b"", ""),
            ([b"ab", b"", b"c"], "00000000020000000200000003000000", b"abc", ""),
            ([None, b"ab"], "000000000000000002000000", b"ab", "02"),
            ([b"", None], "000000000000000000000000", b"", "01"),
            ([b"x"] + [None] * 8, "00000000" + "01000000" * 9, b"x", "0100"),
            ([None] * 8 + [b"x"], "00000000" * 9 + "01000000", b"x", "0001"),
            ([b""] * 7 + [None], "00000000" * 9, b"", "7f"),
        ],
    )
    def test_golden_buffers(self, entries: Entries, ends: str, data: bytes, nulls: str) -> None:
        column = pack_column(entries)
        assert as_bytes(column) == [bytes.fromhex(ends), data, bytes.fromhex(nulls)]
        assert read(len(entries), column) == entries

    @given(entries_strategy, st.integers(0, 3))
    def test_round_trip_at_any_alignment(self, entries: Entries, shift: int) -> None:
        column = pack_column(entries)
        if column == ALL_NULL:
            assert set(entries) == {None}
        else:
            assert read(len(entries), column, shift) == entries

    @given(st.integers(1, 200), st.integers(0, 9), st.integers(0, 9), st.integers(0, 3))
    def test_entries_of_one_length(self, count: int, size: int, last: int, shift: int) -> None:
        """The length of the last may be another: the sum alone tells nothing."""
        entries: Entries = [bytes([i]) * size for i in range(count - 1)]
        column = pack_column([*entries, b"z" * last])
        lengths = [0, *range(size, size * count, size)] if size else [0] * count
        assert bytes(column.ends) == array("i", [*lengths, size * (count - 1) + last]).tobytes()
        assert read(count, column, shift) == [*entries, b"z" * last]

    def test_ends_that_are_even_in_sum_and_at_first_only(self) -> None:
        entries: Entries = [b"ab", b"c", b"def", b"gh"]
        assert read(4, pack_column(entries)) == entries

    def test_nulls_written_out(self) -> None:
        for count in (1, 8, 9, 40):
            assert read(count, pack_empty(count)) == [None] * count

    @pytest.mark.parametrize("ends", [[0, 2, 1, 3], [0, 9, 9, 3], [0, -1, 0, 3]])
    def test_ends_that_fall_are_found_before_an_entry_is_made(self, ends: list[int]) -> None:
        raw = b"".join(end.to_bytes(4, "little", signed=True) for end in ends)
        with pytest.raises(CorruptBatch):
            read_column(3, memoryview(raw), memoryview(b"abc"), None)

    def test_no_entries(self) -> None:
        assert read_column(0, memoryview(bytes(4)), None, None)() == []


@given(entries_strategy)
def test_both_paths_give_the_same_buffers(entries: Entries) -> None:
    pytest.importorskip("pyarrow")
    packed = []
    for minimum in (1, sys.maxsize):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(binary_columns, "arrow_pack_min", minimum)
            packed.append(as_bytes(pack_column(entries)))
    assert packed[0] == packed[1]


def run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_pyarrow_is_imported_with_the_first_long_uneven_column_only() -> None:
    pytest.importorskip("pyarrow")
    code = """
import sys
from logd.model.binary_columns import pack_column
seen = []
for entries in ([b"x"] * 100, [b"x", *[b"xx"] * 98], [b"x", *[b"xx"] * 99]):
    pack_column(entries)
    seen.append("pyarrow" in sys.modules)
print(seen)
"""
    assert run(code) == "[False, False, True]"


@pytest.mark.parametrize("minimum", [1, sys.maxsize])
@given(entries=st.lists(st.binary(max_size=3), min_size=1, max_size=20))
def test_a_known_bound_of_lengths_changes_no_byte(minimum: int, entries: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binary_columns, "arrow_pack_min", minimum)
        for bound in (max(map(len, entries)), 4):
            assert as_bytes(pack_column(entries, bound)) == as_bytes(pack_column(entries))


@pytest.mark.slow
def test_without_pyarrow_installed_everything_works() -> None:
    code = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "pyarrow" else find_spec(name, *a)
sys.modules["pyarrow"] = None
from logd.model.batch_decoder import decode_batch
from logd.model.batch_encoder import encode_batch
values = [b"%d" % i for i in range(5000)]
print(decode_batch(encode_batch(values, timestamps_ms=1)).values == values)
"""
    assert run(code) == "True"
