"""What goes wrong in a run: drawn from the seed, so that every seed is another mixture."""

from dataclasses import dataclass

from logd.sim.seeded_random import SeededRandom

EVENTS = (
    "kill",
    "lose_power",
    "kill_in_call",
    "lose_power_in_call",
    "kill_then_lose_power",
    "stop",
    "cut",
    "loss",
    "full_disk",
    "sync_errors",
    "write_errors",
    "read_errors",
    "any_errors",
    "no_files",
    "no_memory",
    "short_writes",
    "slow_disk",
    "clock",
    "rot",
)
CRASHES = ("kill", "lose_power", "kill_in_call", "lose_power_in_call", "kill_then_lose_power")
POWER = frozenset({"lose_power", "lose_power_in_call", "kill_then_lose_power", "rot"})
SYNC = frozenset({"sync_errors", "any_errors", "no_memory"})
UNREADABLE = frozenset({"read_errors", "any_errors", "rot"})


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """`events`: what may happen in this run. `pause_s`: how long it is quiet in between, at most.

    `cold_reads`: the share of reads that the page cache cannot answer.
    """

    events: tuple[str, ...]
    rounds: int
    pause_s: float
    cold_reads: float

    @property
    def loses_page_cache(self) -> bool:
        """Whether what only the page cache holds may go: page_cache topics promise nothing then."""
        return bool((POWER | SYNC) & set(self.events))

    @property
    def may_be_unreadable(self) -> bool:
        """Whether a reader, or a start, may rightly find what it can't read."""
        return bool(UNREADABLE & set(self.events))

    @property
    def rots(self) -> bool:
        """Whether the disk flips bits: then records may be lost, but never in silence."""
        return "rot" in self.events


def draw_plan(random: SeededRandom) -> FaultPlan:
    """Two to five kinds of events, so that they meet; a power failure or a kill is among them."""
    crash = random.pick(CRASHES)
    others = [random.pick(EVENTS) for _ in range(1 + random.below(4))]
    if random.chance(0.25):
        others.append("slow_disk")
    if random.chance(0.2):
        others.append("rot")
    else:  # it excuses losses, so most runs are without
        others = [event for event in others if event != "rot"]
    pause_s = random.pick((0.05, 0.05, 0.3, 0.3, 2.0, 2.0, 8.0, 45.0))
    if "rot" in others:  # there must be something to rot
        pause_s = max(pause_s, 4.0)
    return FaultPlan(
        events=tuple(sorted({crash, *others})),
        rounds=2 + random.below(3 if pause_s > 10 else 7),
        pause_s=pause_s,
        cold_reads=random.pick((0.0, 0.1, 1.0)),
    )
