"""Draws each transition table of the code into docs/internals: run it after a change of one."""

import textwrap
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from logd_client.core import partition_lane

FOLDER = Path(__file__).parents[2] / "docs/internals"
Table = Mapping[Any, Enum]
"""(state, event) -> the state afterwards."""

TABLES: dict[str, tuple[str, Table]] = {
    "partition-lane.md": ("client/logd_client/core/partition_lane.py", partition_lane.TRANSITIONS),
}
"""Page -> the module that holds the table, and the table."""


def page(module: str, table: Table) -> str:
    """States with what they mean, then the diagram. What changes nothing is told below it."""
    first = next(iter(table))[0]
    states = type(first)
    arrows: dict[tuple[str, str], list[str]] = {}
    for (before, event), after in table.items():
        arrows.setdefault((before.name, after.name), []).append(event.name)
    lines = [f"    [*] --> {first.name}"]
    stays = []
    for (before_name, after_name), names in arrows.items():
        if before_name == after_name:
            stays.append(f"- {before_name}: {', '.join(names)}")
        else:
            lines.append(f"    {before_name} --> {after_name}: {', '.join(names)}")
    text = f"{states.__doc__} Drawn from `TRANSITIONS` in `{module}`, which tells of the events."
    return "\n".join(
        [
            f"# {states.__name__}",
            "",
            textwrap.fill(" ".join(text.split()), 120),
            "",
            "```mermaid",
            "stateDiagram-v2",
            *lines,
            "```",
            "",
            "Events that change nothing:",
            "",
            *stays,
            "",
        ]
    )


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, (module, table) in TABLES.items():
        (FOLDER / name).write_text(page(module, table))
