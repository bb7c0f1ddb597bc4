"""A place in a partition, as --from, --to, --at and --before take it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import click

from logd.cli.error_report import did_you_mean, near_names
from logd.cli.parsed_type import ParsedType
from logd.cli.times import parse_time

if TYPE_CHECKING:
    from logd.model.offset_spec import FoundOffset, OffsetSpec
    from logd_client import Admin

OFFSET_MAX = (1 << 63) - 1
WORDS = ("earliest", "latest")


@dataclass(frozen=True, slots=True)
class Position:
    """An end of the log, an offset, the last N records, or a moment (by append time, unless `by`
    said otherwise).

    `text` is what was written; a moment such as @-15m becomes an instant when it is used, once.
    """

    kind: Literal["earliest", "latest", "offset", "last", "time"]
    text: str
    number: int = 0
    by_record_time: bool = False

    def by(self, which: str | None) -> "Position":
        """The same, with the value of BY_OPTION."""
        return self if which is None else replace(self, by_record_time=which == "record-time")

    def spec(self, now_ms: int) -> "OffsetSpec":
        """What to ask the broker for. 'last' has no such question: see `resolve`."""
        from logd.model.offset_spec import OffsetSpec

        match self.kind:
            case "earliest":
                return OffsetSpec.earliest()
            case "offset":
                return OffsetSpec.at_offset(self.number)
            case "time":
                at = OffsetSpec.at_record_time if self.by_record_time else OffsetSpec.at_time
                return at(parse_time(self.text, now_ms))
            case _:
                return OffsetSpec.latest()

    def is_behind(self, offset: int, now_ms: int) -> bool:
        """Whether this place surely lies behind `offset`, where a look-up of it came to."""
        if self.kind == "time":
            return parse_time(self.text, now_ms) > now_ms and not self.by_record_time
        return self.kind == "offset" and self.number > offset

    async def resolve(
        self, admin: "Admin", topic: str, partitions: Sequence[int], now_ms: int
    ) -> dict[int, int]:
        """The offset in each partition, within what the log holds. Raises what the broker does."""
        from logd.model.offset_spec import OffsetSpec

        found = await admin.list_offsets(topic, dict.fromkeys(partitions, self.spec(now_ms)))
        offsets = offsets_of(found)
        if self.kind == "last":
            wanted = {number: max(0, end - self.number) for number, end in offsets.items()}
            specs = {number: OffsetSpec.at_offset(offset) for number, offset in wanted.items()}
            offsets = offsets_of(await admin.list_offsets(topic, specs))
        return offsets

    async def ends(
        self,
        admin: "Admin",
        topic: str,
        partitions: Sequence[int],
        *,
        began_ms: int,
        now_ms: int,
    ) -> dict[int, int | None]:
        """Where a read up to here ends in each partition: the log may not reach that far yet.

        None: a moment that has not come, by this machine's clock. What is relative is so to
        `began_ms`. Raises what the broker does.
        """
        if self.kind == "offset":
            return dict.fromkeys(partitions, self.number)
        if self.kind != "time":
            return {**await self.resolve(admin, topic, partitions, began_ms)}
        found = await admin.list_offsets(topic, dict.fromkeys(partitions, self.spec(began_ms)))
        offsets = offsets_of(found)
        has_come = parse_time(self.text, began_ms) <= now_ms
        known = {each.partition for each in found if has_come or each.timestamp_ms is not None}
        return {number: offsets[number] if number in known else None for number in partitions}


def offsets_of(found: "Sequence[FoundOffset]") -> dict[int, int]:
    """Offsets by partition; raises the first entry's error."""
    for each in found:
        if each.error is not None:
            raise each.error
    return {each.partition: each.offset for each in found}


def parse_position(text: str) -> Position:
    """'earliest', 'latest', '17', '-5' (the last five of each partition), '@TIME', '@-15m'."""
    if text in WORDS:
        return Position("earliest" if text == "earliest" else "latest", text)
    if text == "end":
        return Position("latest", text)
    if text.startswith("@"):
        parse_time(text, 0)
        return Position("time", text)
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or int(digits) > OFFSET_MAX:
        mean = did_you_mean(near_names(text, WORDS))
        raise ValueError(
            f"'{text}' is no position: write earliest, latest, an offset, -5 for the last five, or "
            f"@TIME{mean}"
        )
    return Position("last" if text.startswith("-") else "offset", text, int(digits))


BY_OPTION = click.option(
    "--by",
    type=click.Choice(["append-time", "record-time"]),
    help="What a time means: when the broker appended a record (if not given), or the record's own "
    "timestamp, as of imported data.",
)
POSITION = ParsedType("position", parse_position)
