"""A decoded batch as a consumer receives it: columns first, records on demand."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import repeat
from types import ModuleType
from typing import TYPE_CHECKING

from logd.model.batch_decoder import DecodedBatch
from logd.model.errors import MissingPackage
from logd_client.record import Record

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

Headers = Sequence[tuple[str, bytes | None]]


class RecordBatch:
    """Records of one partition, in order, from the position that was asked for on.

    `values`, `keys`, `timestamps_ms`, `offsets` and `headers` are columns of the same length, made
    when first asked for; `for record in batch` makes Records one at a time. `next_offset` is where
    reading goes on after it: above the last offset, also where compaction left a gap.

    `to_arrow`, `arrow_values` and `arrow_keys` need `pip install 'logd[arrow]'`, `to_polars` and
    `to_pandas` also polars or pandas; without them MissingPackage is raised. Their large columns
    are the batch's own bytes, not copies: they keep the message alive that it came in.
    """

    __slots__ = ("_decoded", "_part", "next_offset", "partition", "topic")

    def __init__(
        self,
        topic: str,
        partition: int,
        decoded: DecodedBatch,
        start: int,
        next_offset: int,
        stop: int | None = None,
    ) -> None:
        """Of `decoded` the records from index `start` on, before `stop` if there is one."""
        self.topic = topic
        self.partition = partition
        self.next_offset = next_offset
        self._decoded = decoded
        whole = start == 0 and stop in (None, len(decoded))
        self._part = None if whole else slice(start, len(decoded) if stop is None else stop)

    def __len__(self) -> int:
        part = self._part
        return len(self._decoded) if part is None else part.stop - part.start

    def __iter__(self) -> Iterator[Record]:
        return map(
            Record,  # without a Python frame
            repeat(self.topic),
            repeat(self.partition),
            self.offsets,
            self.timestamps_ms,
            repeat(None) if self._decoded.keys is None else self.keys,
            self.values,
            repeat(()) if self._decoded.headers is None else self.headers,
        )

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
        return offsets if self._part is None else offsets[self._part]

    @property
    def values(self) -> list[bytes | None]:
        """None: a tombstone."""
        values = self._decoded.values
        return values if self._part is None else values[self._part]

    @property
    def keys(self) -> list[bytes | None]:
        """None where a record has no key."""
        keys = self._decoded.keys
        if keys is None:
            return [None] * len(self)
        return keys if self._part is None else keys[self._part]

    @property
    def timestamps_ms(self) -> Sequence[int]:
        """ms since 1970 UTC."""
        timestamps_ms = self._decoded.timestamps_ms
        return timestamps_ms if self._part is None else timestamps_ms[self._part]

    @property
    def headers(self) -> Sequence[Headers]:
        """Of each record, (name, value) in order."""
        headers = self._decoded.headers
        if headers is None:
            return [()] * len(self)
        return headers if self._part is None else headers[self._part]

    def to_arrow(self) -> "pyarrow.RecordBatch":
        """Columns of `logd.model.arrow_batches.SCHEMA`."""
        start = self._part.start if self._part else 0
        batch = import_arrow().record_batch(self.partition, self._decoded, start)
        return batch.slice(0, len(self))

    @property
    def arrow_values(self) -> "pyarrow.BinaryArray":
        """`values` as Arrow has them."""
        values = import_arrow().values(self._decoded)
        return values if self._part is None else values[self._part]

    @property
    def arrow_keys(self) -> "pyarrow.BinaryArray":
        """`keys` as Arrow has them."""
        keys = import_arrow().keys(self._decoded)
        return keys if self._part is None else keys[self._part]

    def to_polars(self) -> "polars.DataFrame":
        """`to_arrow` as a DataFrame of Polars."""
        frame: polars.DataFrame = import_extra("polars").from_arrow(self.to_arrow())
        return frame

    def to_pandas(self) -> "pandas.DataFrame":
        """`to_arrow` as a DataFrame of pandas."""
        import_extra("pandas")
        return self.to_arrow().to_pandas()

    def after(self, count: int) -> "RecordBatch":
        """The same without its first `count` records; at least one must remain."""
        assert 0 <= count < len(self), "a batch is never empty"
        start, stop = self._bounds()
        return RecordBatch(
            self.topic, self.partition, self._decoded, start + count, self.next_offset, stop
        )

    def first(self, count: int) -> "RecordBatch":
        """The same without what comes after its first `count` records, at least one."""
        assert 0 < count <= len(self), "a batch is never empty"
        if count == len(self):
            return self
        start, _ = self._bounds()
        return RecordBatch(
            self.topic, self.partition, self._decoded, start, self.offsets[count], start + count
        )

    def _bounds(self) -> tuple[int, int]:
        part = self._part
        return (0, len(self._decoded)) if part is None else (part.start, part.stop)


def import_arrow() -> ModuleType:
    """`logd.model.arrow_batches`. Raises MissingPackage."""
    import_extra("pyarrow", "logd[arrow]")
    return import_module("logd.model.arrow_batches")


def import_extra(name: str, install: str | None = None) -> ModuleType:
    """A package that logd does without. Raises MissingPackage."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingPackage(
            f"this needs {name}, which is not installed: pip install '{install or name}'",
            package=name,
        ) from None
