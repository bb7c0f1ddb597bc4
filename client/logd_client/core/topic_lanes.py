"""A topic as the producer sees it: the partitions' lanes, and which of them a record takes."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from logd.model.batch_encoder import Headers
from logd.model.errors import UnknownPartition
from logd.model.key_ranges import KeyRouter
from logd_client.core.accumulator import (
    BATCH_OVERHEAD_BYTES,
    RECORD_OVERHEAD_BYTES,
    Accumulator,
)
from logd_client.core.partition_lane import PartitionLane
from logd_client.core.producer_batch import TIMESTAMP_STEP_MS, ProducerBatch

TIMESTAMP_MS_MAX = (1 << 63) - 1
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


class TopicLanes:
    """Adds records to the open batches of one topic, under the accumulator's rule.

    A record goes to the partition it names, else to its key's, else to the one whose turn it is: a
    batch without keys fills one partition, then the next has its turn.
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
        self._accumulator = accumulator
        self._wall_ms = accumulator.wall_ms
        self._make_lane = make_lane
        self._turn = turn
        self.lanes: list[PartitionLane] = []
        self.route(routing)

    def route(self, routing: Routing) -> None:
        """Take on (new) metadata; lanes of partitions that were there before stay."""
        limits = self._accumulator.limits
        self.routing = routing
        self.record_bytes_max = routing.message_bytes_max - BATCH_OVERHEAD_BYTES
        self.batch_bytes_max = min(limits.batch_size, self.record_bytes_max)
        for partition in range(len(self.lanes), routing.partitions):
            self.lanes.append(self._make_lane(self, partition))
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
    ) -> ProducerBatch | None:
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
        batch = lane.open
        if batch is None or batch.room_bytes < size_bytes:
            rotates = key is None and partition is None
            batch = self._accumulator.make_room(lane, size_bytes, rotates=rotates)
            if batch is None:
                return None
        batch.room_bytes -= size_bytes
        values = batch.values
        values.append(value)
        if key is not None or batch.keys is not None:
            batch.add_key(key)
        if batch.timestamps_ms is not None or not 0 <= now_ms - batch.stamp_ms < TIMESTAMP_STEP_MS:
            self._stamp(batch, now_ms)
        elif timestamp_ms is not None:
            batch.add_timestamp(timestamp_ms)
        if headers or batch.headers is not None:
            batch.add_headers(headers or ())
        if partition is not None:
            batch.pin(len(values) - 1)
        return batch

    def add_many(self, values: Sequence[bytes], ends: Sequence[int], at: int) -> Added | None:
        """Add records without keys, from `values[at]`, as many as fit into one batch.

        `ends[i]` is the summed size of values[0 .. i], RECORD_OVERHEAD_BYTES each included. All
        values are bytes. None: the buffer is full.
        """
        before = ends[at - 1] if at else 0
        batch = self._accumulator.make_room(self.free, ends[at] - before, rotates=True)
        if batch is None:
            return None
        self._accumulator.reserve(batch, ends[-1] - before)
        first, now_ms = len(batch.values), self._wall_ms()
        stop = bisect_right(ends, before + batch.room_bytes, at)
        count = stop - at
        batch.room_bytes -= ends[stop - 1] - before
        batch.values += values[at:stop]
        if batch.keys is not None:
            batch.keys += [None] * count
        if batch.headers is not None:
            batch.headers += [()] * count
        if batch.timestamps_ms is None and not 0 <= now_ms - batch.stamp_ms < TIMESTAMP_STEP_MS:
            batch.timestamps_ms = [batch.stamp_ms] * first
        if batch.timestamps_ms is not None:
            batch.timestamps_ms += [now_ms] * count
        return Added(batch, first, count)

    def _stamp(self, batch: ProducerBatch, now_ms: int) -> None:
        """The first record of a batch sets the time that the others may share."""
        if len(batch.values) == 1:
            batch.stamp_ms = now_ms
        else:
            batch.add_timestamp(now_ms)

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
