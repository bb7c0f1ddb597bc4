"""What rounds measured: medians with minimum and maximum, ratios, tables. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

RATE = "records_per_second"
CPU = "client_cpu_seconds_per_million"
LATENCIES = ("p50_ms", "p95_ms", "p99_ms", "p99_9_ms", "max_ms")


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of a system in a cell such as 'produce 100 B'; `values`: one a round, some."""

    cell: str
    system: str
    metric: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def to_json(self) -> dict[str, Any]:
        return {
            "cell": self.cell,
            "system": self.system,
            "metric": self.metric,
            "median": self.median,
            "min": self.low,
            "max": self.high,
            "values": list(self.values),
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        return cls(row["cell"], row["system"], row["metric"], tuple(row["values"]))


class Figures:
    """All figures of one run, by cell, system and metric."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self.all = list(figures)
        self._found = {(each.cell, each.system, each.metric): each for each in figures}

    @property
    def cells(self) -> list[str]:
        """In the order of their first figure."""
        return list(dict.fromkeys(each.cell for each in self.all))

    def systems(self, cell: str) -> list[str]:
        """Those with figures there."""
        return list(dict.fromkeys(each.system for each in self.all if each.cell == cell))

    def get(self, cell: str, system: str, metric: str) -> Figure | None:
        return self._found.get((cell, system, metric))

    def times(self, cell: str, system: str, other: str, metric: str) -> Figure | None:
        """How many times as good as `other`, round by round where both have all rounds."""
        own, its = self.get(cell, system, metric), self.get(cell, other, metric)
        if own is None or its is None:
            return None
        if len(own.values) != len(its.values):
            own, its = (Figure(cell, system, metric, (each.median,)) for each in (own, its))
        return better_by(own, its.values)


def better_by(own: Figure, others: Sequence[float]) -> Figure:
    """Of each value over the other of its place; the inverse of what is better the smaller."""
    pairs = zip(own.values, others, strict=True)
    ratios = [a / b if own.metric == RATE else b / a for a, b in pairs if a and b]
    return replace(own, values=tuple(ratios))


def table(figures: Figures, others: Sequence[str]) -> list[str]:
    """Markdown: throughput, then latencies; a column for the ratio to each of `others`."""
    heads = [f"of {other}" for other in others]
    rates = [_row(["cell", "system", "k records/s", "min to max", *heads, "client CPU s/M"])]
    delays = [_row(["cell", "system", "p50 ms", "p95", "p99", "p99.9", "max", *heads])]
    for cell in figures.cells:
        for system in figures.systems(cell):
            rate, cpu = figures.get(cell, system, RATE), figures.get(cell, system, CPU)
            shown = rate or figures.get(cell, system, "p50_ms")
            assert shown is not None
            ratios = [_ratio(figures.times(cell, system, o, shown.metric)) for o in others]
            if rate is not None:
                span = f"{rate.low / 1e3:,.0f} to {rate.high / 1e3:,.0f}"
                used = "-" if cpu is None else f"{cpu.median:.2f}"
                rates.append(_row([cell, system, f"{rate.median / 1e3:,.0f}", span, *ratios, used]))
            else:
                found = [figures.get(cell, system, name) for name in LATENCIES]
                shares = ["-" if each is None else f"{each.median:.2f}" for each in found]
                delays.append(_row([cell, system, *shares, *ratios]))
    return [line for part in (rates, delays) for line in _ruled(part)]


def _ratio(figure: Figure | None) -> str:
    if figure is None or not figure.values:
        return "-"
    return f"{figure.median:.2f}" if figure.median >= 0.995 else f"{figure.median:.2g}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _ruled(rows: list[str]) -> list[str]:
    if len(rows) == 1:
        return []
    return [rows[0], "|" + "---|" * (rows[0].count("|") - 1), *rows[1:], ""]
