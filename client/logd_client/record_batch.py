"""A decoded batch as a consumer receives it: columns first, records on demand."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import repeat

from logd.model.batch_decoder import DecodedBatch
from logd_client.record import Record

_make_record = partial(tuple.__new__, Record)
"""A Record of a 7-tuple, without a Python frame: half of what Record(...) costs."""

Headers = Sequence[tuple[str, bytes | None]]


class RecordBatch:
    """Records of one partition, in order, from the position that was asked for on.

    `values`, `keys`, `timestamps_ms`, `offsets` and `headers` are columns of the same length, made
    when first asked for; `for record in batch` makes Records one at a time. `next_offset` is where
    reading goes on after it: above the last offset, also where compaction left a gap.
    """

    __slots__ = ("_decoded", "_start", "next_offset", "partition", "topic")

    def __init__(
        self, topic: str, partition: int, decoded: DecodedBatch, start: int, next_offset: int
    ) -> None:
        """`start` is the index in `decoded` of the first record that was asked for."""
        self.topic = topic
        self.partition = partition
        self.next_offset = next_offset
        self._decoded = decoded
        self._start = start

    def __len__(self) -> int:
        return len(self._decoded) - self._start

    def __iter__(self) -> Iterator[Record]:
        columns: tuple[Iterable[object], ...] = (
            repeat(self.topic),
            repeat(self.partition),
            self.offsets,
            self.timestamps_ms,
            repeat(None) if self._decoded.keys is None else self.keys,
            self.values,
            repeat(()) if self._decoded.headers is None else self.headers,
        )
        return map(_make_record, zip(*columns, strict=False))  # repeat() has no end

    def __repr__(self) -> str:
        return (
            f"RecordBatch({self.topic}:{self.partition}, offsets {self.base_offset} to "
            f"{self.offsets[-1]}, {len(self)} records)"
        )

    @property
    def base_offset(self) -> int:
        """Offset of the first record here."""
        return self.offsets[0]

    @property
    def leader_epoch(self) -> int:
        """The leader epoch that these records were appended under."""
        return self._decoded.header.leader_epoch

    @property
    def append_timestamp_ms(self) -> int:
        """When the leader appended them, ms since 1970 UTC."""
        return self._decoded.header.append_timestamp_ms

    @property
    def offsets(self) -> Sequence[int]:
        """A range where none is missing."""
        offsets = self._decoded.offsets
        return offsets[self._start :] if self._start else offsets

    @property
    def values(self) -> list[bytes | None]:
        """None: a tombstone."""
        values = self._decoded.values
        return values[self._start :] if self._start else values

    @property
    def keys(self) -> list[bytes | None]:
        """None where a record has no key."""
        keys = self._decoded.keys
        return [None] * len(self) if keys is None else keys[self._start :]

    @property
    def timestamps_ms(self) -> Sequence[int]:
        """ms since 1970 UTC."""
        timestamps_ms = self._decoded.timestamps_ms
        return timestamps_ms[self._start :] if self._start else timestamps_ms

    @property
    def headers(self) -> Sequence[Headers]:
        """Of each record, (name, value) in order."""
        headers = self._decoded.headers
        return [()] * len(self) if headers is None else headers[self._start :]

    def after(self, count: int) -> "RecordBatch":
        """The same without its first `count` records; at least one must remain."""
        assert 0 <= count < len(self), "a batch is never empty"
        return RecordBatch(
            self.topic, self.partition, self._decoded, self._start + count, self.next_offset
        )
