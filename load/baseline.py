"""What got slower or faster since the baseline: figures as ratios to the raw limit of their run.

Pure. Ratios, because a machine's own speed, and what else it does at the time, are in both.
"""

from dataclasses import dataclass
from typing import Any, Literal

from figures import CPU, RATE, Figures, better_by
from own_servers import RAW

COMPARED = (RATE, "p50_ms", "p99_ms", CPU)
Verdict = Literal["slower", "faster", "same", "new", "gone"]


@dataclass(frozen=True, slots=True)
class Share:
    """How many times as good as the raw limit: median of the rounds, minimum, maximum."""

    median: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        return {"median": self.median, "min": self.low, "max": self.high}


@dataclass(frozen=True, slots=True)
class Change:
    """Of one figure. `before` or `now` is None where only the other run has it."""

    name: str
    before: Share | None
    now: Share | None

    @property
    def verdict(self) -> Verdict:
        """A change only where every round of one run is better than every round of the other."""
        before, now = self.before, self.now
        if before is None or now is None:
            return "gone" if now is None else "new"
        if now.high < before.low:
            return "slower"
        if now.low > before.high:
            return "faster"
        return "same"

    @property
    def by(self) -> float:
        """0.1: the median rose by a tenth."""
        if self.before is None or self.now is None:
            return 0.0
        return self.now.median / self.before.median - 1


def shares_of(figures: Figures) -> dict[str, Share]:
    """'produce 100 B, logd, records_per_second' -> its share of the raw limit.

    Of its median: a round of the raw limit is so short that its own noise would hide all else.
    """
    shares = {}
    for each in figures.all:
        if each.system == RAW or each.metric not in COMPARED:
            continue
        raw = figures.get(each.cell, RAW, each.metric)
        if raw is None:
            continue
        share = better_by(each, [raw.median] * len(each.values))
        if share.values:
            name = f"{each.cell}, {each.system}, {each.metric}"
            shares[name] = Share(
                *(float(f"{v:.4g}") for v in (share.median, share.low, share.high))
            )
    return shares


def changes(before: dict[str, Share], now: dict[str, Share]) -> list[Change]:
    """One for each figure that either has."""
    names = [*now, *(name for name in before if name not in now)]
    return [Change(name, before.get(name), now.get(name)) for name in names]


def report(found: list[Change]) -> list[str]:
    """For people: what changed, the greatest change first, and how much did not."""
    lines = []
    for change in sorted(found, key=lambda each: -abs(each.by)):
        if change.verdict in ("slower", "faster"):
            assert change.before is not None and change.now is not None
            lines.append(
                f"{change.verdict}: {change.name}: {change.by:+.0%} against the raw limit, "
                f"{_span(change.before)} before, {_span(change.now)} now"
            )
        elif change.verdict != "same":
            lines.append(f"{change.verdict}: {change.name}")
    same = sum(change.verdict == "same" for change in found)
    return [*lines, f"{same} of {len(found)} figures within the noise of their rounds"]


def _span(share: Share) -> str:
    return f"{share.median:.3g} ({share.low:.3g} to {share.high:.3g})"


def to_json(shares: dict[str, Share], about: dict[str, Any]) -> dict[str, Any]:
    """The baseline file. `about`: machine, versions, command."""
    return {**about, "of_raw": {name: share.to_json() for name, share in shares.items()}}


def from_json(file: dict[str, Any]) -> dict[str, Share]:
    return {
        name: Share(row["median"], row["min"], row["max"]) for name, row in file["of_raw"].items()
    }
