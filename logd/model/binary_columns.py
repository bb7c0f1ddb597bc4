"""A column of bytes and nulls, to and from the three buffers that Arrow lays it out in.

There are two implementations with the same bytes and the same results: the standard library here,
pyarrow in `logd.model.arrow_columns`. pyarrow is taken where it is installed and the column is long
enough to repay its fixed cost; it is imported with the first such column, as that takes some 50 ms.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import accumulate, chain, pairwise
from struct import Struct, pack
from typing import NamedTuple

from logd.model.errors import CorruptBatch, RecordTooLarge

assert sys.byteorder == "little" and array("i").itemsize == 4, "buffers are wrapped as they lie"

ARROW_INSTALLED = find_spec("pyarrow") is not None

arrow_pack_min = 100 if ARROW_INSTALLED else sys.maxsize
arrow_unpack_min = 12 if ARROW_INSTALLED else sys.maxsize
"""Entries from which pyarrow is taken, where both were measured to cost the same. Tests set these
to 1 or sys.maxsize to force either implementation."""

_ENTRIES_PER_UNPACK = 64
"""What one step of `iter_unpack` takes: four times as fast as one a step; more gain little."""

INT32_MAX = (1 << 31) - 1
_ENTRY_TYPES = {bytes, type(None)}
_BIT_TO_DIGIT = bytes.maketrans(b"\0\1", b"01")


class PackedColumn(NamedTuple):
    """Buffers of a column; all three empty where every entry is null."""

    ends: bytes | memoryview
    data: bytes | memoryview
    nulls: bytes | memoryview


ALL_NULL = PackedColumn(b"", b"", b"")


def pack_column(
    entries: Sequence[bytes | None], entry_bytes_max: int | None = None
) -> PackedColumn:
    """The buffers of `entries`, which `entry_bytes_max`, if given, says to be bytes, and none
    longer. Raises TypeError, and RecordTooLarge beyond 2 GiB."""
    if entry_bytes_max is not None:
        return _pack_bytes(entries, entry_bytes_max)  # type: ignore[arg-type]
    types = set(map(type, entries))
    if not types <= _ENTRY_TYPES:
        names = sorted(t.__name__ for t in types - _ENTRY_TYPES)
        raise TypeError(f"keys and values are bytes or None, not {', '.join(names)}")
    if bytes not in types:
        return ALL_NULL
    if len(types) == 1:
        return _pack_bytes(entries, max(map(len, entries)))  # type: ignore[arg-type]
    if len(entries) >= arrow_pack_min:
        return _pack_by_arrow(entries)
    data = b"".join(filter(None, entries))
    if len(data) > INT32_MAX:
        raise column_too_large()
    lengths = (0 if entry is None else len(entry) for entry in entries)
    return PackedColumn(_pack_ends(len(entries), lengths), data, _pack_nulls(entries))


def _pack_bytes(entries: Sequence[bytes], longest: int) -> PackedColumn:
    """Where all are together as long as if each were the longest, all are of one length."""
    count, maybe_even = len(entries), len(entries[0]) == len(entries[-1]) == longest > 0
    if not maybe_even and count >= arrow_pack_min:
        return _pack_by_arrow(entries)
    data = b"".join(entries)
    if len(data) > INT32_MAX:
        raise column_too_large()
    if maybe_even and len(data) == longest * count:
        return PackedColumn(_even_ends(count, longest), data, b"")
    return PackedColumn(_pack_ends(count, map(len, entries)), data, b"")


def _pack_ends(count: int, lengths: Iterable[int]) -> bytes:
    return pack(f"{count + 1}i", *accumulate(lengths, initial=0))


def _pack_by_arrow(entries: Sequence[bytes | None]) -> PackedColumn:
    from logd.model import arrow_columns

    return arrow_columns.pack_column(entries)


def pack_empty(count: int) -> PackedColumn:
    """`count` nulls written out, for a body that would have no other buffer."""
    return PackedColumn(bytes(4 * (count + 1)), b"", bytes((count + 7) // 8))


def column_too_large() -> RecordTooLarge:
    """int32 ends cannot reach this far."""
    return RecordTooLarge(
        "a batch's keys or values come to over 2 GiB; send them in more batches",
        limit=INT32_MAX,
    )


def _pack_nulls(entries: Sequence[bytes | None]) -> bytes:
    valid = bytes([entry is not None for entry in entries])
    bits = int(valid[::-1].translate(_BIT_TO_DIGIT), 2)
    return bits.to_bytes((len(entries) + 7) // 8, "little")


def read_column(
    count: int, ends: memoryview, data: memoryview | None, nulls: memoryview | None
) -> Callable[[], list[bytes | None]]:
    """Check that ends rise, now; what it gives makes the entries, when it is called.

    The buffers' lengths agree already (`check_body`). Raises CorruptBatch.
    """
    if count >= arrow_unpack_min:
        from logd.model import arrow_columns

        return arrow_columns.read_column(count, ends, data, nulls)
    if nulls is None and data:
        size = len(data) // count
        first_end = size.to_bytes(4, "little")  # spares most comparisons, replaces none
        if size and ends[4:8] == first_end and bytes(ends) == _even_ends(count, size):
            return partial(_even_entries, size, data)
    return partial(_entries, read_ends(ends), data, nulls)


def read_ends(ends: memoryview) -> list[int]:
    """The offsets of `ends`, which rise. Raises CorruptBatch."""
    offsets = ends.cast("i").tolist()
    if offsets != sorted(offsets):
        raise ends_fall()
    return offsets


def ends_fall() -> CorruptBatch:
    return CorruptBatch("the ends of a column do not rise")


@lru_cache(maxsize=2)
def _even_ends(count: int, size: int) -> bytes:
    """Ends of `count` entries of `size` bytes. Kept, as full batches of one producer are alike."""
    return array("i", range(0, count * size + 1, size)).tobytes()


def _even_entries(size: int, data: memoryview) -> list[bytes | None]:
    """Entries of `size` bytes each: a quarter of the time of slices at 100 B."""
    many, one = Struct(f"{size}s" * _ENTRIES_PER_UNPACK), Struct(f"{size}s")
    bulk = len(data) - len(data) % many.size
    entries = list[bytes | None](chain.from_iterable(many.iter_unpack(data[:bulk])))
    entries += chain.from_iterable(one.iter_unpack(data[bulk:]))
    return entries


def _entries(
    ends: list[int], data: memoryview | None, nulls: memoryview | None
) -> list[bytes | None]:
    blob = b"" if data is None else bytes(data)
    if nulls is None:
        return [blob[start:end] for start, end in pairwise(ends)]
    count = len(ends) - 1
    bits = format(int.from_bytes(nulls, "little"), f"0{count}b")[::-1]
    return [
        None if bit == "0" else blob[start:end]
        for bit, (start, end) in zip(bits, pairwise(ends), strict=False)
    ]
