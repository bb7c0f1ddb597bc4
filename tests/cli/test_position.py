from typing import Any

import pytest

from harness.manual_clock import ManualClock
from logd.cli.coming_end import ComingEnd
from logd.cli.invocation import Invocation
from logd.cli.output import Output
from logd.cli.position import Position, parse_position
from logd.cli.times import format_time
from logd.model.ids import LeaderEpoch, Offset, PartitionId
from logd.model.offset_spec import FoundOffset, OffsetSpec

NOW_MS = 1_000_000


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("earliest", OffsetSpec.earliest()),
        ("latest", OffsetSpec.latest()),
        ("end", OffsetSpec.latest()),
        ("17", OffsetSpec.at_offset(17)),
        ("@-1m", OffsetSpec.at_time(940_000)),
        ("@1970-01-01T00:00:01", OffsetSpec.at_time(1_000)),
    ],
)
def test_a_position_becomes_what_to_ask_the_broker(text: str, spec: OffsetSpec) -> None:
    assert parse_position(text).spec(NOW_MS) == spec


def test_the_last_few() -> None:
    assert parse_position("-5") == Position("last", "-5", 5)


@pytest.mark.parametrize("text", ["", "-", "1.5", "--5", "ends", "²", str(1 << 63)])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(ValueError, match="is no position"):
        parse_position(text)


class FoundAt:
    """What an Admin finds in partitions: by number, (offset, timestamp_ms)."""

    def __init__(self, found: dict[int, tuple[int, int | None]]) -> None:
        self.found = found

    async def list_offsets(self, topic: str, specs: dict[int, OffsetSpec]) -> list[FoundOffset]:
        return [
            FoundOffset(PartitionId(number), Offset(offset), time_ms, LeaderEpoch(1))
            for number, (offset, time_ms) in ((n, self.found[n]) for n in specs)
        ]


async def test_a_read_may_end_where_the_log_does_not_reach_yet() -> None:
    admin: Any = FoundAt({0: (6, None), 1: (3, 5_000)})

    async def ends(text: str, now_ms: int = 1_000) -> dict[int, int | None]:
        return await parse_position(text).ends(admin, "t", [0, 1], began_ms=1_000, now_ms=now_ms)

    assert await ends("99") == {0: 99, 1: 99}
    assert await ends("end") == {0: 6, 1: 3}
    second = "@1970-01-01T00:00:02Z"
    assert await ends(second, 1_999) == {0: None, 1: 3}, (
        "one was appended after it: that clock runs"
    )
    assert await ends(second, 2_000) == {0: 6, 1: 3}
    assert await ends("@-1s") == {0: 6, 1: 3}


async def test_a_moment_that_is_waited_for_comes_by_the_clock() -> None:
    clock = ManualClock()
    invocation = Invocation(Output(), clock=clock)
    text = "@" + format_time(clock.wall_ms() + 1_000)
    coming = ComingEnd(invocation, parse_position(text), clock.wall_ms())
    assert not coming.has_come()
    clock.advance(999)
    assert not coming.has_come()
    clock.advance(1)
    assert coming.has_come()
