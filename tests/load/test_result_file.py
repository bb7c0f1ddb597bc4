import json
from pathlib import Path

from result_file import read, to_text, write

CONTENT = {
    "command": "make bench",
    "machine": {"processor": "one  {of} [those]", "cores": "2"},
    "none": {},
    "rounds": 5,
    "figures": [{"cell": "a", "values": [1, 2]}, {"cell": "b", "values": []}],
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "new" / "file.json", CONTENT)
    assert read(tmp_path / "new" / "file.json") == CONTENT


def test_each_entry_has_a_line_of_its_own() -> None:
    lines = to_text(CONTENT).splitlines()
    assert '  {"cell": "a", "values": [1, 2]},' in lines
    assert '  "cores": "2"' in lines
    assert json.loads("\n".join(lines)) == CONTENT
