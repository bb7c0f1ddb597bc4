import re
from typing import Any, ClassVar

from logd.cli.read_range import ReadRange
from logd.cli.record_filter import RecordFilter
from logd.cli.record_reader import GroupStart, RecordReader
from logd_client.record import Record


class FakeConsumer:
    """A log per partition, in memory; what the reader needs of a Consumer."""

    def __init__(self, logs: dict[int, list[int]]) -> None:
        self.logs = logs
        self.positions = dict.fromkeys(logs, 0)
        self.paused: set[int] = set()
        self.committed: dict[int, int] | None = None
        self.asked: list[int] = []
        self.has = list(logs)
        self.has_from: dict[int, list[int]] = {}
        """Partitions that it has from so many polls on."""

    @property
    def assignment(self) -> list[tuple[str, int]]:
        return [("t", number) for number in self.has]

    def seek(self, topic: str, partition: int, offset: int) -> None:
        self.positions[partition] = offset

    def pause(self, topic: str, partition: int) -> None:
        self.paused.add(partition)

    def position(self, topic: str, partition: int) -> int:
        return self.positions[partition]

    async def poll(self, timeout_ms: int, max_records: int) -> list[Record]:
        self.asked.append(max_records)
        self.has = self.has_from.get(len(self.asked), self.has)
        assert len(self.asked) < 100, "the reader does not end"
        for partition, offsets in self.logs.items():
            if partition in self.paused or partition not in self.has:
                continue
            found = [each for each in offsets if each >= self.positions[partition]][:max_records]
            if found:
                self.positions[partition] = found[-1] + 1
                return [Record("t", partition, each, 0, None, b"%d" % each) for each in found]
            self.positions[partition] = max(self.positions[partition], 10)  # control batches
        return []

    async def close(self) -> None:
        assert self.committed is None, "closed twice"
        self.committed = dict(self.positions)


class Written:
    """Takes the place of a RecordWriter; breaks like a closed pipe when told to."""

    def __init__(self, breaks: bool = False) -> None:
        self.places: list[tuple[int, int]] = []
        self.breaks = breaks

    def open(self) -> None: ...

    def write(self, records: list[Record]) -> None:
        self.places += [(record.partition, record.offset) for record in records]

    def flush(self) -> None:
        if self.breaks and self.places:
            raise BrokenPipeError

    def close(self) -> None: ...


async def read(
    consumer: Any, *ranges: ReadRange, pattern: str = "", breaks: bool = False, **settings: Any
) -> list[tuple[int, int]]:
    written: Any = Written(breaks)
    chosen = RecordFilter(re.compile(pattern.encode()) if pattern else None)
    settings = {"count": None} | settings
    reader = RecordReader(consumer, written, chosen, **settings)
    reader.begin(ranges)
    try:
        await reader.read()
    except BrokenPipeError:
        assert breaks
    return written.places  # type: ignore[no-any-return]


async def test_each_partition_is_read_to_its_end_and_no_further() -> None:
    consumer = FakeConsumer({0: [0, 1, 2, 3], 1: [0, 1], 2: [0]})
    places = await read(
        consumer,
        ReadRange("t", 0, 1, None, 3),
        ReadRange("t", 1, None, 1, 2),
        ReadRange("t", 2, 0, None, 0),
    )
    assert places == [(0, 1), (0, 2), (1, 0), (1, 1)]
    assert consumer.committed == {0: 3, 1: 2, 2: 0}


async def test_an_end_behind_records_that_nobody_sees_is_reached() -> None:
    consumer = FakeConsumer({0: [0, 1]})
    assert await read(consumer, ReadRange("t", 0, 0, None, 10)) == [(0, 0), (0, 1)]
    assert consumer.committed == {0: 10}


async def test_a_count_never_moves_the_position_past_what_was_printed() -> None:
    consumer = FakeConsumer({0: list(range(9))})
    assert len(await read(consumer, ReadRange("t", 0, 0, None, None), count=3)) == 3
    assert consumer.committed == {0: 3}


async def test_a_count_of_matching_records_stops_right_behind_the_last() -> None:
    consumer = FakeConsumer({0: list(range(9))})
    start = ReadRange("t", 0, 0, None, None)
    assert await read(consumer, start, count=2, pattern="[24]") == [(0, 2), (0, 4)]
    assert consumer.committed == {0: 5}


async def test_nothing_is_read_for_a_count_of_none() -> None:
    consumer = FakeConsumer({0: [0]})
    assert await read(consumer, ReadRange("t", 0, 0, None, None), count=0) == []
    assert consumer.asked == []


async def test_what_a_closed_pipe_did_not_take_is_not_committed() -> None:
    consumer = FakeConsumer({0: [0, 1]})
    await read(consumer, ReadRange("t", 0, 0, None, 2), breaks=True)
    assert consumer.committed is None


class ComesAfter:
    """A moment that comes once so many polls have been answered; `ends` says where it is then."""

    def __init__(self, consumer: FakeConsumer, polls: int, ends: dict[int, int]) -> None:
        self.consumer = consumer
        self.polls = polls
        self.ends = ends
        self.position_then: dict[int, int] = {}

    def has_come(self) -> bool:
        return len(self.consumer.asked) >= self.polls

    async def offsets(self, topic: str, partitions: list[int]) -> dict[int, int]:
        self.position_then = dict(self.consumer.positions)
        return {number: self.ends[number] for number in partitions}


async def test_a_moment_that_comes_later_ends_the_reading_where_it_is() -> None:
    consumer = FakeConsumer({0: list(range(5)), 1: list(range(4))})
    coming = ComesAfter(consumer, 2, {1: 2})
    ranges = ReadRange("t", 0, 0, None, 3), ReadRange("t", 1, 0, None, None)
    places = await read(consumer, *ranges, coming=coming)
    assert places == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert consumer.committed == {0: 3, 1: 2}
    assert coming.position_then == {0: 3, 1: 0}, "what is not judged yet could be committed"


async def test_a_moment_that_comes_where_nothing_is_to_be_read_ends_it_too() -> None:
    consumer = FakeConsumer({0: [0], 1: []})
    ranges = ReadRange("t", 0, 0, None, None), ReadRange("t", 1, 0, None, None)
    coming = ComesAfter(consumer, 5, {0: 1, 1: 0})
    assert await read(consumer, *ranges, coming=coming) == [(0, 0)]
    assert consumer.committed == {0: 1, 1: 0}


async def test_a_member_reads_what_it_has_to_its_end_and_leaves_the_rest_to_the_others() -> None:
    consumer = FakeConsumer({0: [0, 1], 1: [0, 1], 2: [0]})
    consumer.has, consumer.has_from = [], {3: [0], 5: [0, 2]}
    ranges = [ReadRange("t", number, None, None, end) for number, end in ((0, 2), (1, 2), (2, 1))]
    assert await read(consumer, *ranges, is_member=True) == [(0, 0), (0, 1)]
    assert len(consumer.asked) == 3, "it waited until it had something"
    assert consumer.paused == {0}


async def test_a_member_begins_at_from_only_where_nothing_is_committed() -> None:
    class Committed:
        sought: ClassVar[dict[int, int]] = {}

        async def committed(self, topic: str, partition: int) -> int | None:
            return {0: 5}.get(partition)

        def seek(self, topic: str, partition: int, offset: int) -> None:
            self.sought[partition] = offset

    consumer: Any = Committed()
    start = GroupStart([ReadRange("t", n, 3, None, None) for n in (0, 1)])
    start.consumer = consumer
    await start.assigned([("t", 0), ("t", 1)])
    assert consumer.sought == {1: 3}
