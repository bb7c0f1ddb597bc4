"""The tables that measurements print."""

import os
import statistics
import time
from collections.abc import Callable


def timed_s(work: Callable[[], object]) -> float:
    """Seconds it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def spread(seconds: list[float]) -> str:
    """Median with minimum and maximum, as cells of a table, in ms."""
    cells = (statistics.median(seconds), min(seconds), max(seconds))
    return " | ".join(f"{cell * 1000:.0f}" for cell in cells)


def latencies(seconds: list[float]) -> str:
    """Median, 99th percentile and maximum, as cells of a table, in ms."""
    ordered = sorted(seconds)
    picked = (ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100], ordered[-1])
    return " | ".join(f"{cell * 1000:.1f}" for cell in picked)


def print_table(title: str, head: str, rows: list[str]) -> None:
    """A Markdown table, under the command that made it and the machine's load meanwhile."""
    columns = head.count("|") + 1
    print(f"\n`{title}`, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print(f"| {head} |\n|{'---|' * columns}")
    for row in rows:
        print(f"| {row} |")
