"""A group that replays the past of another's topics, at the pace it was written or at another.

The replay has a clock of its own. It shows `from_ms` when the first member comes, and then runs
`speed` times as fast as time does, whether or not anybody reads: a replay is as the days were that
it repeats, and who comes late to it has a backlog. A record is due once that clock has reached its
append time. With a speed of 0 there is no clock, and all is due at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition

UNPACED = 0.0
SPEED_MIN, SPEED_MAX = 0.001, 1_000_000.0


@dataclass(frozen=True, slots=True)
class Replay:
    """What a forked group replays: the topics of `source`. Times are ms since 1970 UTC; `began_ms`
    None: no member has come yet. With an `until_ms`, `ends` says up to which offset it reads each
    partition; of others it reads nothing. Without one it has no end."""

    source: str
    from_ms: int
    until_ms: int | None = None
    speed: float = UNPACED
    began_ms: int | None = None
    ends: Mapping[TopicPartition, Offset] = field(default_factory=dict)

    def pace(self, now_ms: int) -> "ReplayPace | None":
        """What its clock shows; None: it has none, or has not begun."""
        if self.speed == UNPACED or self.began_ms is None:
            return None
        passed_ms = int(max(0, now_ms - self.began_ms) * self.speed)
        return ReplayPace(self.speed, self.from_ms + passed_ms)

    def status(self, now_ms: int) -> "ReplayStatus":
        """Its clock stands still once the end is due."""
        pace = self.pace(now_ms)
        clock_ms = None if pace is None else pace.clock_ms
        if clock_ms is not None and self.until_ms is not None:
            clock_ms = min(clock_ms, self.until_ms)
        return ReplayStatus(self.source, self.from_ms, self.until_ms, self.speed, clock_ms)

    def end_of(self, where: TopicPartition) -> Offset | None:
        """Up to where it reads a partition; None: without end."""
        return None if self.until_ms is None else self.ends.get(where, Offset(0))


@dataclass(frozen=True, slots=True)
class ReplayStatus:
    """A group's replay, as people see it. `clock_ms` None: it has no clock, or has not begun."""

    source: str
    from_ms: int
    until_ms: int | None
    speed: float
    clock_ms: int | None


@dataclass(frozen=True, slots=True)
class ReplayPace:
    """What a member is told: `clock_ms` is what the replay's clock shows as it is told."""

    speed: float
    clock_ms: int


@dataclass(frozen=True, slots=True)
class Fork:
    """What is asked for: a group `to` that replays the topics of `source` from the first record
    appended at `at_ms` or later, up to before the first at `until_ms` or later."""

    source: str
    to: str
    at_ms: int
    until_ms: int | None = None
    speed: float = UNPACED
    actor: str = ""
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class ForkedPartition:
    """What is replayed of one partition: `records` from `start` on. `end` None: there is none, and
    `records` and `size_bytes` are what there is now."""

    topic: str
    topic_id: TopicId
    partition: PartitionId
    start: Offset
    end: Offset | None
    records: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ForkPlan:
    """A fork, planned or carried out. `from_ms` is the append time of the first record."""

    partitions: tuple[ForkedPartition, ...]
    from_ms: int
    executed: bool
