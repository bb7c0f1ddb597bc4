"""The diagrams of docs/internals are those of the code."""

import re

import pytest

from docs.state_diagrams import FOLDER, TABLES, page

ROOT = FOLDER.parents[1]


@pytest.mark.parametrize("name", TABLES)
def test_a_diagram_is_that_of_its_table(name: str) -> None:
    drawn = page(*TABLES[name])
    assert (FOLDER / name).read_text() == drawn, "run tests/docs/state_diagrams.py"


def test_every_table_has_its_diagram() -> None:
    sources = (
        path
        for folder in ("logd", "partitions", "replication", "consumer_groups", "client")
        for path in (ROOT / folder).rglob("*.py")
    )
    tables = {
        path.relative_to(ROOT).as_posix()
        for path in sources
        if re.search(r"^TRANSITIONS\b", path.read_text(), re.MULTILINE)
    }
    assert tables == {module for module, _ in TABLES.values()}
