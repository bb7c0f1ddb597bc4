"""Totals of all groups."""

import asyncio
from typing import Any, cast

from logd.cli.groups import GROUPS_AT_ONCE, _lag_of_all, _total_row
from logd.model.errors import UnknownGroup
from logd.model.group import GroupSummary, PartitionLag
from logd.model.ids import Offset, PartitionId
from logd_client import Admin


def lag(partition: int, records: int, seconds: float, reason: str) -> PartitionLag:
    place = "orders", PartitionId(partition)
    offsets = Offset(5), Offset(9), Offset(0)
    return PartitionLag(*place, *offsets, records, 10 * records, seconds, None, None, reason)


def test_totals_and_the_worst_of_a_group() -> None:
    row = _total_row("g", [lag(0, 9, 1.0, "reading"), lag(1, 2, 60.0, "blocked on offset 5")])
    assert row == {
        "group": "g",
        "lag_records": 11,
        "lag_bytes": 110,
        "lag_seconds": 60.0,
        "worst": "orders:1",
        "reason": "blocked on offset 5",
    }
    gone = "below the log start: 3 records are gone"
    assert _total_row("g", [lag(0, 0, 0.0, "caught up"), lag(1, 0, 0.0, gone)])["reason"] == gone
    assert _total_row("g", [])["reason"] is None


class FakeGroups:
    """Groups of one partition each; those in `gone` were deleted since they were listed."""

    def __init__(self, count: int, gone: set[str]) -> None:
        self.names = [f"g{number:03}" for number in range(count)]
        self.gone = gone

    async def list_groups(self) -> list[GroupSummary]:
        return [GroupSummary(name, "EMPTY", (), 0, 0) for name in self.names]

    async def group_lag(self, group: str) -> list[PartitionLag]:
        await asyncio.sleep(0)
        if group in self.gone:
            raise UnknownGroup("gone", group=group)
        return [lag(0, int(group[1:]), 1.0, "reading")]


async def test_groups_that_go_meanwhile_are_left_out() -> None:
    fake = FakeGroups(GROUPS_AT_ONCE + 2, {"g001"})
    rows: list[dict[str, Any]] = await _lag_of_all(cast(Admin, fake))
    assert [row["group"] for row in rows] == [name for name in fake.names if name != "g001"]
    assert [row["lag_records"] for row in rows] == [0, *range(2, GROUPS_AT_ONCE + 2)]
