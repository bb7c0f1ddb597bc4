"""The records of a parked topic that were not replayed yet."""

import os
import re
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from logd.cli.invocation import Invocation
from logd.model.ids import PartitionId
from logd.model.offset_spec import OffsetSpec

if TYPE_CHECKING:
    from logd_client import Admin, Record
    from logd_client.core.done_ranges import DoneRanges

HEADER = "logd.parked."
FIELDS = ("topic", "partition", "offset", "group", "attempts", "reason", "error", "traceback")
POLL_MS = 60_000


class ParkedRecords:
    """Of one topic, up to its end as it is when this is opened. What was replayed is kept as what a
    group of the topic's own name is done with, so `logctl groups lag TOPIC` counts the others."""

    def __init__(self, invocation: Invocation, admin: "Admin", topic: str) -> None:
        self.topic = topic
        self._invocation = invocation
        self._admin = admin
        self._ends: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self._done: dict[int, DoneRanges] = {}
        self.kept = 0
        """Records from the log start on, replayed or not."""

    async def open(self) -> None:
        """Raises UnknownTopic."""
        from logd_client.core.done_ranges import DoneRanges

        admin, topic = self._admin, self.topic
        numbers = [each.partition for each in (await admin.describe_topic(topic)).partitions]
        starts = await self._offsets(numbers, OffsetSpec.earliest())
        self._ends = await self._offsets(numbers, OffsetSpec.latest())
        self.kept = sum(self._ends[number] - starts[number] for number in numbers)
        committed = {each.partition: each for each in await admin.fetch_offsets(topic)}
        for number in numbers:
            known = committed.get(PartitionId(number))
            at = 0 if known is None or known.offset is None else known.offset
            self._next[number] = max(at, starts[number])
            self._done[number] = DoneRanges(() if known is None else known.done_ranges)

    async def _offsets(self, partitions: Sequence[int], at: OffsetSpec) -> dict[int, int]:
        found = await self._admin.list_offsets(self.topic, dict.fromkeys(partitions, at))
        return {each.partition: each.offset for each in found}

    @property
    def waiting(self) -> int:
        """How many are left to be replayed."""
        return sum(
            max(0, end - self._next[number])
            - sum(until - since for since, until in self._done[number].beyond(self._next[number]))
            for number, end in self._ends.items()
        )

    async def read(self) -> AsyncIterator["Record"]:
        """Those that are left, by partition."""
        from logd_client import Consumer

        for number, end in self._ends.items():
            if self._done[number].through(self._next[number]) >= end:
                continue
            consumer = Consumer(
                self.topic, bootstrap_servers=self._invocation.bootstrap, partitions=[number]
            )
            consumer.seek(self.topic, number, self._next[number])
            async with consumer:
                while consumer.position(self.topic, number) < end:
                    for record in await consumer.poll(POLL_MS):
                        done = self._done[number].through(record.offset) > record.offset
                        if record.offset < end and not done:
                            yield record

    async def replayed(self, records: Sequence["Record"]) -> None:
        """Keep that these are done. Raises what the group's coordinator refuses."""
        from logd.model.group import DoneRange

        for record in records:
            self._done[record.partition].add(record.offset, record.offset + 1)
        offsets, ranges = {}, {}
        for number in {record.partition for record in records}:
            done = self._done[number]
            self._next[number] = done.through(self._next[number])
            offsets[self.topic, number] = self._next[number]
            beyond = done.beyond(self._next[number])
            ranges[self.topic, number] = [DoneRange(*each) for each in beyond]
        outcomes = await self._admin.commit_offsets(self.topic, offsets, done_ranges=ranges)
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error


def said_of(record: "Record") -> dict[str, str]:
    """What its headers tell, by FIELDS."""
    said = {
        name.removeprefix(HEADER): (value or b"").decode(errors="replace")
        for name, value in record.headers
        if name.startswith(HEADER)
    }
    return {field: said.get(field, "") for field in FIELDS}


class Where:
    """All of these must be found: a regular expression in a field of FIELDS, `key` or `value`."""

    def __init__(self, wanted: Sequence[tuple[str, str]]) -> None:
        """Raises ValueError."""
        self._wanted: list[tuple[str, re.Pattern[str]]] = []
        for field, text in wanted:
            if field not in (*FIELDS, "key", "value"):
                known = ", ".join((*FIELDS, "key", "value"))
                raise ValueError(f"there is no '{field}' to look in, only {known}")
            try:
                self._wanted.append((field, re.compile(text)))
            except re.error as error:
                raise ValueError(f"'{text}' is no regular expression: {error}") from None

    def takes(self, record: "Record") -> bool:
        said = said_of(record)
        said["key"] = os.fsdecode(record.key or b"")
        said["value"] = os.fsdecode(record.value or b"")
        return all(pattern.search(said[field]) for field, pattern in self._wanted)
