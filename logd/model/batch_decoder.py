"""Decodes a stored batch into records.

Everything that can be wrong with a batch is found by `decode_batch`; the Python objects of a column
are made when it is first asked for. Refused before anything is allocated: what claims to be larger
than UNCOMPRESSED_BATCH_BYTES_MAX, and counts that do not fit it.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise

from logd.model.batch_body import BodyColumns, check_body
from logd.model.batch_codecs import decompress
from logd.model.binary_columns import read_column, read_ends
from logd.model.errors import (
    CorruptBatch,
    InvalidTimestamp,
    LogdError,
    UndecodableBatch,
    UnsupportedCodec,
)
from logd.model.ids import Offset
from logd.model.record_batch import (
    BODY_COLUMNAR,
    HEADER_BYTES,
    MAGIC,
    BatchHeader,
    LeaderFlag,
    body_crc,
    count_problem,
)
from logd.model.seams import Buffer

RecordHeaders = list[tuple[str, bytes | None]]
_ReadColumn = Callable[[], list[bytes | None]]


class DecodedBatch:
    """The records of one batch, as columns of the same length. Made by `decode_batch`.

    It keeps the batch's bytes alive, and they must not change while it is in use.
    """

    def __init__(self, header: BatchHeader, columns: BodyColumns) -> None:
        """Checks what `check_body` left, O(records). Raises CorruptBatch."""
        self.header = header
        self.columns = columns
        """The buffers that the columns are made of; their ends are checked to rise."""
        self._read_values = _reader(
            header.record_count, columns.value_ends, columns.values, columns.value_nulls
        )
        self._read_keys = _reader(
            header.record_count, columns.key_ends, columns.keys, columns.key_nulls
        )
        self.offsets: Sequence[int] = _offsets(header, columns.offset_deltas)
        """Of each record; a range where none is missing."""
        self._header_names = _header_names(columns)
        self._header_ends = read_ends(columns.header_ends) if columns.header_ends else None
        self._read_header_values = _reader(
            columns.header_count,
            columns.header_value_ends,
            columns.header_values,
            columns.header_value_nulls,
        )

    def __len__(self) -> int:
        return self.header.record_count

    @cached_property
    def values(self) -> list[bytes | None]:
        """None: a tombstone."""
        return self._read_values() if self._read_values else [None] * len(self)

    @cached_property
    def keys(self) -> list[bytes | None] | None:
        """None where no record has a key."""
        return self._read_keys() if self._read_keys else None

    @cached_property
    def timestamps_ms(self) -> Sequence[int]:
        """The producer's, or the leader's in a topic with timestamp_type append_time."""
        if self.header.leader_flags & LeaderFlag.APPEND_TIME:
            return [self.header.append_timestamp_ms] * len(self)
        base, deltas = self.header.base_timestamp_ms, self.columns.timestamp_deltas
        if deltas is None:
            return [base] * len(self)
        return [base + delta for delta in deltas.cast("q")]

    @cached_property
    def headers(self) -> list[RecordHeaders] | None:
        """None where no record has a header."""
        if not self._header_names or not self._header_ends:
            return None
        names = self._header_names
        values = self._read_header_values() if self._read_header_values else [None] * len(names)
        pairs = list(zip(names, values, strict=True))
        return [pairs[start:end] for start, end in pairwise(self._header_ends)]


def decode_batch(batch: Buffer, *, check_crc: bool = True) -> DecodedBatch:
    """The records of one whole batch, stored or produced.

    `check_crc` False: the caller has checked body_crc. Raises CorruptBatch where length, magic or
    body_crc are wrong, and UndecodableBatch, with the next_offset to go on from, where the batch is
    as its producer made it but cannot be read.
    """
    header = BatchHeader.unpack(batch) if len(batch) >= HEADER_BYTES else None
    if header is None or header.magic != MAGIC or header.batch_length != len(batch):
        raise CorruptBatch(f"these {len(batch)} bytes are not one whole batch")
    if check_crc and (crc := body_crc(batch)) != header.body_crc:
        raise CorruptBatch(
            f"body_crc of the batch at offset {header.base_offset} is {header.body_crc:#010x}, "
            f"but its bytes give {crc:#010x}",
            expected=header.body_crc,
            got=crc,
        )
    try:
        return DecodedBatch(header, _columns(memoryview(batch)[HEADER_BYTES:], header))
    except (CorruptBatch, InvalidTimestamp, UnsupportedCodec) as error:
        raise _undecodable(header, error) from error


def _columns(stored: memoryview, header: BatchHeader) -> BodyColumns:
    if header.body_format != BODY_COLUMNAR:
        raise UnsupportedCodec(f"body format {header.body_format} is unknown to this version")
    problem = count_problem(header)
    if problem or header.last_offset_delta < header.record_count - 1:
        raise CorruptBatch(problem or "last_offset_delta is too small for the records")
    if not 0 <= header.base_timestamp_ms < 1 << 62:
        raise InvalidTimestamp(f"base_timestamp_ms is {header.base_timestamp_ms}")
    body = decompress(stored, header.codec, header.uncompressed_bytes)
    return check_body(body, header.record_count)


def _undecodable(header: BatchHeader, error: LogdError) -> UndecodableBatch:
    return UndecodableBatch(
        f"the batch at offsets {header.base_offset} to {header.last_offset} cannot be decoded: "
        f"{error.message}. Go on from offset {header.next_offset}, or use a newer client",
        base_offset=header.base_offset,
        next_offset=header.next_offset,
    )


def _reader(
    count: int, ends: memoryview | None, data: memoryview | None, nulls: memoryview | None
) -> _ReadColumn | None:
    return None if ends is None else read_column(count, ends, data, nulls)


def _offsets(header: BatchHeader, deltas: memoryview | None) -> Sequence[int]:
    base = header.base_offset
    if deltas is None:
        return range(base, base + header.record_count)
    kept = deltas.cast("i").tolist()
    rising = all(low < high for low, high in pairwise(kept))
    if not rising or kept[0] < 0 or kept[-1] > header.last_offset_delta:
        raise CorruptBatch("offset_deltas do not rise from 0 to last_offset_delta")
    return [Offset(base + delta) for delta in kept]


def _header_names(columns: BodyColumns) -> list[str]:
    if not columns.header_count or columns.header_name_ends is None:
        return []
    blob = b"" if columns.header_names is None else bytes(columns.header_names)
    try:
        ends = read_ends(columns.header_name_ends)
        return [blob[start:end].decode() for start, end in pairwise(ends)]
    except UnicodeDecodeError as error:
        raise CorruptBatch(f"a header's name is not UTF-8: {error}") from error
