"""`logd.model.binary_columns` by pyarrow. Imported only where pyarrow is installed and pays."""

from collections.abc import Callable, Sequence

import pyarrow as pa

from logd.model.binary_columns import PackedColumn, column_too_large, ends_fall


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
    buffers = [
        None if nulls is None else pa.py_buffer(nulls),
        _aligned(ends),
        pa.py_buffer(b"" if data is None else data),
    ]
    column = pa.Array.from_buffers(pa.binary(), count, buffers)
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raise ends_fall() from None
    entries: Callable[[], list[bytes | None]] = column.to_pylist
    return entries


def _aligned(ends: memoryview) -> pa.Buffer:
    """The buffer, copied if it lies where a batch does not begin at a multiple of 4."""
    buffer = pa.py_buffer(ends)
    return pa.py_buffer(bytes(ends)) if buffer.address % 4 else buffer
