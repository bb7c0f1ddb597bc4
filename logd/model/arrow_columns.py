"""Columns by pyarrow: those of `logd.model.binary_columns`, and whole batches as Arrow arrays.

Imported only where pyarrow is installed, and pays or is asked for.
"""

from collections.abc import Callable, Sequence

import pyarrow as pa

from logd.model.batch_body import BodyColumns
from logd.model.binary_columns import PackedColumn, column_too_large, ends_fall

HEADER = pa.struct([pa.field("name", pa.string(), nullable=False), ("value", pa.binary())])
HEADERS = pa.list_(pa.field("item", HEADER, nullable=False))
"""A list and no map: names keep their order and may stand more than once, which DuckDB's maps
refuse; Polars has no maps."""


def pack_column(entries: Sequence[bytes | None]) -> PackedColumn:
    """As its namesake; the types are checked, and one entry at least is not null."""
    column = pa.array(entries, type=pa.binary())
    if isinstance(column, pa.ChunkedArray):
        raise column_too_large()
    nulls, ends, data = column.buffers()
    count = len(entries)
    ends_view = memoryview(ends)[: 4 * (count + 1)]
    data_bytes = ends_view.cast("i")[count]
    return PackedColumn(
        ends_view,
        memoryview(data)[:data_bytes] if data_bytes else b"",
        memoryview(nulls)[: (count + 7) // 8] if column.null_count else b"",
    )


def read_column(
    count: int, ends: memoryview, data: memoryview | None, nulls: memoryview | None
) -> Callable[[], list[bytes | None]]:
    """As its namesake, without a copy until it is called."""
    column = binary_array(count, ends, data, nulls)
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raise ends_fall() from None
    entries: Callable[[], list[bytes | None]] = column.to_pylist
    return entries


def binary_array(
    count: int, ends: memoryview | None, data: memoryview | None, nulls: memoryview | None
) -> pa.BinaryArray:
    """The buffers as they lie; without `ends` all entries are null. Not validated."""
    if ends is None:
        return pa.nulls(count, pa.binary())
    return pa.Array.from_buffers(pa.binary(), count, [_whole(nulls), aligned(ends, 4), _data(data)])


def aligned(buffer: memoryview, width: int) -> pa.Buffer:
    """The buffer, copied if it does not begin at a multiple of `width` bytes, as Arrow wants it:
    a batch may lie anywhere in the message that it came in."""
    wrapped = pa.py_buffer(buffer)
    return pa.py_buffer(bytes(buffer)) if wrapped.address % width else wrapped


def headers_array(count: int, columns: BodyColumns) -> pa.ListArray:
    """Of each record a list of (name, value), empty where it has none."""
    ends, headers = columns.header_ends, columns.header_count
    names = pa.Array.from_buffers(
        pa.string(),
        headers,
        [
            None,
            aligned(columns.header_name_ends or memoryview(bytes(4)), 4),
            _data(columns.header_names),
        ],
    )
    values = binary_array(
        headers,
        columns.header_value_ends,
        columns.header_values,
        columns.header_value_nulls,
    )
    pairs = pa.StructArray.from_arrays([names, values], fields=list(HEADER))
    list_ends = pa.py_buffer(bytes(4 * (count + 1))) if ends is None else aligned(ends, 4)
    return pa.Array.from_buffers(HEADERS, count, [None, list_ends], children=[pairs])


def _whole(buffer: memoryview | None) -> pa.Buffer | None:
    return None if buffer is None else pa.py_buffer(buffer)


def _data(buffer: memoryview | None) -> pa.Buffer:
    return pa.py_buffer(b"" if buffer is None else buffer)
