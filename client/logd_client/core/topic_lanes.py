"""A topic as the producer sees it: the partitions' lanes, and which of them a record takes."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, repeat
from typing import NamedTuple

from logd.model.batch_encoder import Headers
from logd.model.errors import UnknownPartition
from logd.model.key_ranges import KeyRouter
from logd_client.core.accumulator import Accumulator
from logd_client.core.open_batch import (
    AHEAD_RECORDS_MIN,
    BATCH_OVERHEAD_BYTES,
    NOT_OPEN,
    RECORD_OVERHEAD_BYTES,
    OpenBatch,
)
from logd_client.core.partition_lane import PartitionLane
from logd_client.core.producer_batch import ProducerBatch

TIMESTAMP_MS_MAX = (1 << 63) - 1
ADDED_AT_ONCE_MAX = 4096
"""Records of one `add_many`: where they don't fit, so many sizes are summed for nothing."""
HEADER_OVERHEAD_BYTES = 16
"""Counted for each header besides name and value; with it a batch of BATCH_BYTES_LIMIT has no more
than HEADERS_PER_BATCH_MAX."""


class Routing(NamedTuple):
    """The part of a topic's metadata that producing needs."""

    topic_id: bytes
    router: KeyRouter
    open_partitions: Sequence[int]
    partitions: int
    partitioning_epoch: int
    message_bytes_max: int


class Added(NamedTuple):
    """Records `first` .. `first + records - 1` of `batch`."""

    batch: ProducerBatch
    first: int
    records: int


class Lengths(NamedTuple):
    """Of many values, none None: the greatest, and whether they are all alike."""

    longest: int
    alike: bool


class TopicLanes:
    """Adds records to the open batches of one topic, under the accumulator's rule.

    A record goes to the partition it names, else to its key's, else to the one whose turn it is: a
    batch without keys fills one partition, then the next has its turn. `ahead`: the open batch that
    may have room ahead, for values alone (see OpenBatch).
    """

    def __init__(
        self,
        name: str,
        routing: Routing,
        accumulator: Accumulator,
        make_lane: Callable[["TopicLanes", int], PartitionLane],
        turn: int = 0,
    ) -> None:
        self.name = name
        self.accumulator = accumulator
        self._wall_ms = accumulator.wall_ms
        self._make_lane = make_lane
        self._turn = turn
        self.lanes: list[PartitionLane] = []
        self.ahead: OpenBatch = NOT_OPEN
        self.route(routing)

    def route(self, routing: Routing) -> None:
        """Take on (new) metadata; lanes of partitions that were there before stay."""
        limits = self.accumulator.limits
        self.routing = routing
        self.record_bytes_max = routing.message_bytes_max - BATCH_OVERHEAD_BYTES
        self.batch_bytes_max = min(limits.batch_size, self.record_bytes_max)
        for partition in range(len(self.lanes), routing.partitions):
            self.lanes.append(self._make_lane(self, partition))
        for lane in self.lanes:
            if lane.open is not None:
                lane.open.bytes_max = self.batch_bytes_max
        self._partition_of = routing.router.partition_of
        self._choose_free()

    def rotate(self, lane: PartitionLane) -> None:
        """The open batch of `lane` has ended: if it took records without keys, the next does."""
        if lane is self.free:
            self._turn += 1
            self._choose_free()

    def add(
        self,
        value: bytes | None,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Headers | None = None,
        timestamp_ms: int | None = None,
    ) -> OpenBatch | None:
        """Add one record: it is the last of the batch returned. None: the buffer is full.

        Raises RecordTooLarge, UnknownPartition, and TypeError for what is not bytes.
        """
        if type(value) is bytes:
            size_bytes = RECORD_OVERHEAD_BYTES + len(value)
        else:
            value, size_bytes = _as_bytes(value, "value"), RECORD_OVERHEAD_BYTES
            size_bytes += 0 if value is None else len(value)
        if key is not None:
            if type(key) is not bytes:
                key = _as_bytes(key, "key")
                assert key is not None
            size_bytes += len(key)
            lane = self.lanes[self._partition_of(key)] if partition is None else self._at(partition)
        else:
            lane = self.free if partition is None else self._at(partition)
        if headers:
            headers = _checked_headers(headers)
            size_bytes += headers_bytes(headers)
        now_ms = self._wall_ms() if timestamp_ms is None else _checked_time(timestamp_ms)
        open_batch = lane.open
        if open_batch is None or open_batch.room_bytes < size_bytes:
            rotates = key is None and partition is None
            open_batch = self.accumulator.make_room(lane, size_bytes, now_ms, rotates=rotates)
            if open_batch is None:
                return None
        open_batch.append(size_bytes, value, key, headers, now_ms, timestamp_ms is not None)
        if partition is not None:
            open_batch.batch.pin((len(open_batch.values) - 1,))
        return open_batch

    def add_plain(self, value: bytes | None) -> OpenBatch | None:
        """As `add` of a value alone; then there is room ahead for the next ones, where that can
        be."""
        open_batch = self.add(value)
        if open_batch is not None and len(open_batch.values) >= AHEAD_RECORDS_MIN:
            batch = open_batch.batch
            if batch.keys is None and batch.headers is None:
                self.ahead = open_batch
                self.accumulator.begin_ahead(open_batch)
        return open_batch

    def add_many(
        self, values: Sequence[bytes], lengths: Lengths, at: int, partition: int | None = None
    ) -> Added | None:
        """Add records without keys, from `values[at]`, as many as fit into one batch, at most
        ADDED_AT_ONCE_MAX. All values are bytes. None: the buffer is full. Raises UnknownPartition.
        """
        size_bytes = RECORD_OVERHEAD_BYTES + len(values[at])
        lane, rotates = (self.free, True) if partition is None else (self._at(partition), False)
        now_ms = self._wall_ms()
        open_batch = self.accumulator.make_room(lane, size_bytes, now_ms, rotates=rotates)
        if open_batch is None:
            return None
        some = values[at : at + ADDED_AT_ONCE_MAX]
        longest = lengths.longest
        value_bytes = longest * len(some) if lengths.alike else sum(map(len, some))
        size_bytes = value_bytes + RECORD_OVERHEAD_BYTES * len(some)
        open_batch.reserve(size_bytes)
        if size_bytes > open_batch.room_bytes:
            ends = accumulate(len(value) + RECORD_OVERHEAD_BYTES for value in some)
            some = some[: bisect_right(list(ends), open_batch.room_bytes)]
            size_bytes = sum(map(len, some)) + RECORD_OVERHEAD_BYTES * len(some)
        first = len(open_batch.values)
        open_batch.extend(size_bytes, some, longest, now_ms)
        if partition is not None:
            open_batch.batch.pin(range(first, first + len(some)))
        return Added(open_batch.batch, first, len(some))

    def check_sizes(
        self,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None,
        *,
        has_nulls: bool,
    ) -> Lengths:
        """Those of the values. Raises RecordTooLarge, with its `index`, for the first record that
        `add` would."""
        lengths = set(map(len, filter(None, values) if has_nulls else values))  # type: ignore[arg-type]
        longest = max(lengths, default=0)
        longest_key = max(map(len, filter(None, keys or ())), default=0)
        room_bytes = self.accumulator.record_bytes_max(self) - RECORD_OVERHEAD_BYTES
        if longest + longest_key > room_bytes:
            for at, (value, key) in enumerate(zip(values, keys or repeat(None), strict=False)):
                size_bytes = len(value or b"") + len(key or b"")
                if size_bytes > room_bytes:
                    raise self.accumulator.too_large(self, size_bytes + RECORD_OVERHEAD_BYTES, at)
        return Lengths(longest, len(lengths) == 1)

    def _choose_free(self) -> None:
        partitions = self.routing.open_partitions
        self.free = self.lanes[partitions[self._turn % len(partitions)]]

    def _at(self, partition: int) -> PartitionLane:
        if type(partition) is int and 0 <= partition < len(self.lanes):
            return self.lanes[partition]
        raise UnknownPartition(
            f"topic '{self.name}' has no partition {partition!r}, only 0 to {len(self.lanes) - 1}",
            topic=self.name,
            partition=partition,
        )


def _as_bytes(data: object, what: str) -> bytes | None:
    if data is None or isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    hint = "; encode it, for example with .encode()" if isinstance(data, str) else ""
    raise TypeError(f"a record's {what} is bytes, not {type(data).__name__}{hint}")


def _checked_time(timestamp_ms: int) -> int:
    if type(timestamp_ms) is int and 0 <= timestamp_ms <= TIMESTAMP_MS_MAX:
        return timestamp_ms
    raise TypeError(f"timestamp_ms is {timestamp_ms!r}, but takes ms since 1970 UTC, an int")


def _checked_headers(headers: Headers) -> Headers:
    checked = []
    for header in headers:
        if not isinstance(header, tuple | list) or len(header) != 2:
            raise TypeError(f"headers are a list of (name, value), but one is {header!r}")
        name, value = header
        if not isinstance(name, str):
            raise TypeError(f"a header's name is str, not {type(name).__name__}")
        name.encode()
        checked.append((name, _as_bytes(value, "header value")))
    return tuple(checked)


def headers_bytes(headers: Headers) -> int:
    """What a record's headers count in a batch."""
    return sum(len(n.encode()) + len(v or b"") + HEADER_OVERHEAD_BYTES for n, v in headers)
