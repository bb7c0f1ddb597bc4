"""The loop of `consume`: poll, filter, print, stop where it was asked to, commit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from logd.cli.read_range import ReadRange
from logd.cli.record_filter import RecordFilter
from logd.cli.record_writer import RecordWriter

if TYPE_CHECKING:
    from logd_client import Consumer, Record

POLL_MS = 500
"""How long one poll waits: also how soon a partition that holds only control batches at its end is
seen to be finished."""

POLL_RECORDS_MAX = 4096


class RecordReader:
    """Reads ranges to their ends, or on and on.

    A record counts as read for the group once it was handed to the operating system; then the
    position is committed, by the consumer: at an interval, and when it is closed at the end.
    """

    def __init__(
        self,
        consumer: "Consumer",
        writer: RecordWriter,
        record_filter: RecordFilter,
        *,
        count: int | None,
    ) -> None:
        self._consumer = consumer
        self._writer = writer
        self._filter = record_filter
        self._left = count
        self._open: dict[tuple[str, int], int] = {}
        self._bounded = False

    def begin(self, ranges: Sequence[ReadRange]) -> None:
        """Say what to read, before the consumer starts."""
        for each in ranges:
            if each.start is not None:
                self._consumer.seek(each.topic, each.partition, each.start)
            if each.end is None:
                continue
            self._bounded = True
            if each.is_empty:
                self._consumer.pause(each.topic, each.partition)
            else:
                self._open[each.topic, each.partition] = each.end

    async def read(self) -> None:
        """Read until every range has ended or the count is reached; forever if neither bounds.

        Then close the consumer, which commits; raises what that raises. Where records could not be
        written, that is left to the caller, with the error.
        """
        consumer = self._consumer
        self._writer.open()
        self._writer.flush()
        written = True
        try:
            while not self._is_done():
                records = await consumer.poll(timeout_ms=POLL_MS, max_records=self._poll_records())
                written = False
                self._print(records)
                written = True
                self._close_finished()
            self._writer.close()
        finally:
            if written:
                await consumer.close()

    def _is_done(self) -> bool:
        enough = self._left is not None and self._left <= 0
        return enough or (self._bounded and not self._open)

    def _poll_records(self) -> int:
        """Never more than may be printed: the position must not pass what was."""
        if self._left is None:
            return POLL_RECORDS_MAX
        return min(self._left, POLL_RECORDS_MAX) if self._filter.is_empty else 1

    def _print(self, records: "Sequence[Record]") -> None:
        if self._bounded:
            records = [r for r in records if r.offset < self._open.get((r.topic, r.partition), 0)]
        if not self._filter.is_empty:
            records = [record for record in records if self._filter.takes(record)]
        if self._left is not None:
            self._left -= len(records)
        if records:
            self._writer.write(records)
            self._writer.flush()

    def _close_finished(self) -> None:
        """A partition whose end is reached is read no further, and its position is that end."""
        for (topic, partition), end in list(self._open.items()):
            position = self._consumer.position(topic, partition)
            if position >= end:
                del self._open[topic, partition]
                if position > end:
                    self._consumer.seek(topic, partition, end)
                self._consumer.pause(topic, partition)
