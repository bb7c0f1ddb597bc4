"""JSON files that a person can read and git can compare: each entry of a list or table a line."""

import json
from pathlib import Path
from typing import Any


def to_text(content: dict[str, Any]) -> str:
    """An object, its values in lines: one for each item of a list or of an object."""
    parts = []
    for name, value in content.items():
        if isinstance(value, list) and value:
            lines = ",\n  ".join(json.dumps(each, ensure_ascii=False) for each in value)
            text = f"[\n  {lines}\n ]"
        elif isinstance(value, dict) and value:
            pairs = (f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            text = "{\n  " + ",\n  ".join(pairs) + "\n }"
        else:
            text = json.dumps(value, ensure_ascii=False)
        parts.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def write(path: Path, content: dict[str, Any]) -> None:
    """Makes the folder, if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_text(content))


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found
