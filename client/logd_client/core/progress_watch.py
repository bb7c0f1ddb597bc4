"""For how long each partition of a consumer has stood still."""

from typing import NamedTuple

from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.partition_position import PartitionPosition

TOLD_MS = 30_000
"""What stands still for less is nobody's business; of what stands longer, brokers are told anew so
often."""


class Standstill(NamedTuple):
    """The application has not come back from what it has `in_hand`, or has taken nothing of what is
    there, at `offset` for `for_ms`."""

    at: PartitionPosition
    offset: int
    for_ms: int
    in_hand: bool


class ProgressWatch:
    """Looks at the positions now and then: a record costs nothing, and a standstill is seen one
    look late at most. Times are ms of a monotonic clock."""

    def __init__(self, positions: ConsumerPositions) -> None:
        self._positions = positions
        self._seen: dict[PartitionPosition, tuple[int, int, int]] = {}

    def look(self, now_ms: int) -> None:
        """Note where each partition is."""
        seen = {}
        for at in self._positions:
            here = self._positions.position(at), self._positions.done(at)
            before = self._seen.get(at)
            stands = before is not None and before[:2] == here and self._waits(at)
            seen[at] = (*here, before[2] if before is not None and stands else now_ms)
        self._seen = seen

    def standstills(self, now_ms: int, at_least_ms: int) -> list[Standstill]:
        """Those that last so long, as of the last look."""
        found = []
        for at, (position, done, since_ms) in self._seen.items():
            for_ms = now_ms - since_ms
            if for_ms >= at_least_ms and self._waits(at):
                in_hand = self._positions.in_hand(at)
                found.append(Standstill(at, done if in_hand else position, for_ms, in_hand))
        return found

    def _waits(self, at: PartitionPosition) -> bool:
        """Whether anything is to be done with it."""
        if self._positions.in_hand(at):
            return True
        end, stopped = at.high_watermark, at.paused or at.withheld or at.held
        if end is None or stopped:
            return False
        end = end if at.end is None else min(end, at.end)
        return at.known and end > self._positions.position(at)
