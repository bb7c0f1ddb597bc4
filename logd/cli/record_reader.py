"""The loop of `consume`: poll, filter, print, stop where it was asked to, commit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from logd.cli.coming_end import ComingEnd
from logd.cli.read_range import ReadRange
from logd.cli.record_filter import RecordFilter
from logd.cli.record_writer import RecordWriter
from logd.model.errors import ReplayEnded

if TYPE_CHECKING:
    from logd_client import Consumer, Record

POLL_MS = 500
"""How long one poll waits: also how soon a partition that holds only control batches at its end is
seen to be finished."""

POLL_RECORDS_MAX = 4096


class GroupStart:
    """Where a member begins what it is given and nobody has committed: at `start` of its range."""

    def __init__(self, ranges: Sequence[ReadRange]) -> None:
        self._starts = {(r.topic, r.partition): r.start for r in ranges if r.start is not None}
        self.consumer: Consumer | None = None

    async def assigned(self, partitions: Sequence[tuple[str, int]]) -> None:
        assert self.consumer is not None, "it is set before the consumer starts"
        for topic, partition in partitions:
            start = self._starts.get((topic, partition))
            if start is not None and await self.consumer.committed(topic, partition) is None:
                self.consumer.seek(topic, partition, start)


class RecordReader:
    """Reads ranges to their ends, or on and on.

    A record counts as read for the group once it was handed to the operating system; then the
    position is committed, by the consumer: at an interval, and when it is closed at the end.
    Ranges without an end end where `coming` is, if it is given.
    """

    def __init__(
        self,
        consumer: "Consumer",
        writer: RecordWriter,
        record_filter: RecordFilter,
        *,
        count: int | None,
        coming: ComingEnd | None = None,
        is_member: bool = False,
    ) -> None:
        self._consumer = consumer
        self._writer = writer
        self._filter = record_filter
        self._left = count
        self._coming = coming
        self._is_member = is_member
        self._open: dict[tuple[str, int], int | None] = {}
        self._bounded = False

    def begin(self, ranges: Sequence[ReadRange]) -> None:
        """Say what to read, before the consumer starts."""
        for each in ranges:
            if each.start is not None and not self._is_member:
                self._consumer.seek(each.topic, each.partition, each.start)
            if each.end is None and self._coming is None:
                continue
            self._bounded = True
            if each.is_empty:
                self._consumer.pause(each.topic, each.partition)
            else:
                self._open[each.topic, each.partition] = each.end

    async def read(self) -> None:
        """Read until every range has ended, or the group's replay, or the count is reached; forever
        if nothing bounds.

        Then close the consumer, which commits; raises what that raises. Where records could not be
        written, that is left to the caller, with the error.
        """
        consumer = self._consumer
        self._writer.open()
        self._writer.flush()
        written = True
        try:
            while not self._is_done():
                try:
                    records = await consumer.poll(POLL_MS, self._poll_records())
                except ReplayEnded:
                    break
                if self._coming is not None and self._coming.has_come():
                    self._give_back(records)
                    await self._set_ends(self._coming)
                    records, self._coming = [], None
                written = False
                self._print(records)
                written = True
                self._close_finished()
            self._writer.close()
        finally:
            if written:
                await consumer.close()

    def _is_done(self) -> bool:
        """A member is done with what it has; what others have, they read."""
        enough = self._left is not None and self._left <= 0
        if enough or not self._bounded:
            return enough
        if not self._is_member:
            return not self._open
        has = self._consumer.assignment
        return bool(has) and self._open.keys().isdisjoint(has)

    def _poll_records(self) -> int:
        """Never more than may be printed: the position must not pass what was."""
        if self._left is None:
            return POLL_RECORDS_MAX
        return min(self._left, POLL_RECORDS_MAX) if self._filter.is_empty else 1

    def _give_back(self, records: "Sequence[Record]") -> None:
        """They will be read again: nothing is committed while it is not known what they are."""
        for record in reversed(records):
            self._consumer.seek(record.topic, record.partition, record.offset)

    async def _set_ends(self, coming: ComingEnd) -> None:
        """The moment up to which to read has come."""
        by_topic: dict[str, list[int]] = {}
        for topic, partition in [place for place, end in self._open.items() if end is None]:
            by_topic.setdefault(topic, []).append(partition)
        for topic, partitions in by_topic.items():
            for partition, end in (await coming.offsets(topic, partitions)).items():
                self._open[topic, partition] = end

    def _is_wanted(self, record: "Record") -> bool:
        end = self._open.get((record.topic, record.partition), 0)
        return end is None or record.offset < end

    def _print(self, records: "Sequence[Record]") -> None:
        if self._bounded:
            records = [record for record in records if self._is_wanted(record)]
        if not self._filter.is_empty:
            records = [record for record in records if self._filter.takes(record)]
        if self._left is not None:
            self._left -= len(records)
        if records:
            self._writer.write(records)
            self._writer.flush()

    def _close_finished(self) -> None:
        """A partition whose end is reached is read no further, and its position is that end."""
        for topic, partition in self._consumer.assignment:
            end = self._open.get((topic, partition))
            position = self._consumer.position(topic, partition)
            if end is not None and position >= end:
                del self._open[topic, partition]
                if position > end:
                    self._consumer.seek(topic, partition, end)
                self._consumer.pause(topic, partition)
