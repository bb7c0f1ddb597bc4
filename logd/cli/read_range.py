"""What `consume` reads of one partition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logd.cli.coming_end import ComingEnd
from logd.cli.invocation import Invocation
from logd.cli.position import Position, parse_position
from logd.model.errors import UnknownPartition

if TYPE_CHECKING:
    from logd_client import Admin

_EARLIEST, _END = parse_position("earliest"), parse_position("end")


@dataclass(frozen=True, slots=True)
class ReadRange:
    """Offsets [start or committed, end). `start` None: the group's committed offset counts; `end`
    None: without end."""

    topic: str
    partition: int
    start: int | None
    committed: int | None
    end: int | None

    @property
    def is_empty(self) -> bool:
        """Nothing is to be read here."""
        first = self.committed if self.start is None else self.start
        return self.end is not None and first is not None and first >= self.end


@dataclass(frozen=True, slots=True)
class ReadBounds:
    """Where to start (None: at the earliest) and to stop (None: never); `at_end`: where the log
    ends now, at the latest."""

    start: Position | None
    end: Position | None
    at_end: bool

    async def ranges(
        self,
        invocation: Invocation,
        wanted: Mapping[str, Sequence[int]],
        group: str | None,
        began_ms: int,
    ) -> list[ReadRange]:
        """What to read of each partition; `wanted` names them by topic, empty: all.

        Says where the log ends before what was asked for. Raises what the broker does.
        """
        ranges: list[ReadRange] = []
        async with invocation.admin() as admin:
            for topic, named in wanted.items():
                numbers = await _partitions_of(admin, topic, named)
                committed: dict[int, int | None] = {}
                if group is not None:
                    found = await admin.fetch_offsets(group, {topic: numbers})
                    committed = {each.partition: each.offset for each in found}
                free = [number for number in numbers if committed.get(number) is None]
                first = self.start or _EARLIEST
                starts = await first.resolve(admin, topic, free, began_ms) if free else {}
                late = [number for number in starts if first.is_behind(starts[number], began_ms)]
                _tell_end(
                    invocation, topic, late, starts, f"--from {first.text}: reading starts there"
                )
                ends = await self._ends(invocation, admin, topic, numbers, began_ms)
                for number in numbers:
                    at = starts.get(number), committed.get(number), ends.get(number)
                    ranges.append(ReadRange(topic, number, *at))
        return ranges

    def coming(
        self, invocation: Invocation, ranges: Sequence[ReadRange], began_ms: int
    ) -> ComingEnd | None:
        """The moment at which some of these end, where it has not come yet."""
        if self.end is None or all(each.end is not None for each in ranges):
            return None
        return ComingEnd(invocation, self.end, began_ms)

    async def _ends(
        self,
        invocation: Invocation,
        admin: "Admin",
        topic: str,
        numbers: Sequence[int],
        began_ms: int,
    ) -> dict[int, int | None]:
        ends: dict[int, int | None] = dict.fromkeys(numbers)
        if self.end is not None:
            ends = await self.end.ends(admin, topic, numbers, began_ms=began_ms, now_ms=began_ms)
        if not self.at_end:
            return ends
        here = await _END.resolve(admin, topic, numbers, began_ms)
        short = [n for n, end in ends.items() if end is None or end > here[n]]
        if self.end is not None:
            _tell_end(invocation, topic, short, here, f"--to {self.end.text}: -e stops there")
        return {**ends, **{number: here[number] for number in short}}


def _tell_end(
    invocation: Invocation, topic: str, short: Sequence[int], at: Mapping[int, int], what: str
) -> None:
    """Say of these partitions that their log ends before what was asked for."""
    if short:
        others = f", and so in {len(short) - 1} more of it" if len(short) > 1 else ""
        invocation.note(f"{topic}:{short[0]} ends at {at[short[0]]}, before {what}{others}")


async def _partitions_of(admin: "Admin", topic: str, wanted: Sequence[int]) -> Sequence[int]:
    """The partitions to read. Raises UnknownTopic, UnknownPartition."""
    count = len((await admin.describe_topic(topic)).partitions)
    for number in wanted:
        if number >= count:
            raise UnknownPartition(
                f"topic '{topic}' has no partition {number}, only 0 to {count - 1}",
                topic=topic,
                partition=number,
            )
    return wanted or range(count)
