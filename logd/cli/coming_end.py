"""The moment up to which `consume` reads, where it has not come yet."""

from collections.abc import Sequence

from logd.cli.invocation import Invocation
from logd.cli.position import Position
from logd.cli.times import parse_time


class ComingEnd:
    """`end` is @TIME. Which offsets lie before it the broker tells, once it has come by this
    machine's clock: what was read until then lies before it."""

    def __init__(self, invocation: Invocation, end: Position, began_ms: int) -> None:
        self._invocation = invocation
        self._end = end
        self._began_ms = began_ms
        self._time_ms = parse_time(end.text, began_ms)

    def has_come(self) -> bool:
        """Whether `offsets` can be asked for."""
        return self._invocation.clock.wall_ms() >= self._time_ms

    async def offsets(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """Where it is in each partition; raises what the broker does."""
        async with self._invocation.admin() as admin:
            ends = await self._end.ends(
                admin, topic, partitions, began_ms=self._began_ms, now_ms=self._time_ms
            )
        return {number: end for number, end in ends.items() if end is not None}
