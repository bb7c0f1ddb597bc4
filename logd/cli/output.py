"""Everything that goes to stdout: tables, JSON, YAML, names; for a terminal or for a pipe.

A row is a JSON object (a dict of str, numbers, bool, None, lists and dicts): `-o json` prints it as
it is, and the columns of a table pick from it. On a terminal a table is aligned, coloured and shows
sizes at a glance; in a pipe it has the same columns, separated by tabs, never cut, numbers exact.
"""

import base64
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from logd.cli.times import format_age, format_size

Json = dict[str, Any]
FORMATS = ("table", "wide", "json", "jsonl", "yaml", "name")
Kind = Literal["text", "name", "number", "size", "seconds", "share", "rate", "state"]

_STATE_STYLES = (
    dict.fromkeys(("healthy", "ok", "caught up"), "green")
    | dict.fromkeys(("degraded", "warning"), "yellow")
    | dict.fromkeys(("failed", "error", "damaged"), "red")
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_PLAIN_YAML = re.compile(r"[A-Za-z_/@][A-Za-z0-9_./@-]*", re.ASCII)
_YAML_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, or a line of a description: `key` is the row's field.

    `wide`: shown by -o wide only. A list is joined by commas, None is shown as '-'.
    """

    title: str
    key: str
    kind: Kind = "text"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A list of rows within a description."""

    title: str
    key: str
    columns: tuple[Column, ...]


class Output:
    """Prints results in the format asked for. `format` None: table."""

    def __init__(self, format: str | None = None, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.is_terminal = self.stream.isatty()
        self.chosen = format
        self.format = format or "table"

    def items(
        self, rows: Sequence[Json], columns: Sequence[Column], name: str, **about: Any
    ) -> None:
        """A list. `name` is the field that -o name prints; `about` joins `items` in JSON."""
        match self.format:
            case "json":
                self.json({"items": list(rows), **about})
            case "jsonl":
                for row in rows:
                    self.line(to_json(row))
            case "yaml":
                self.stream.write(to_yaml({"items": list(rows), **about}))
            case "name":
                for row in rows:
                    self.line(str(row[name]))
            case _:
                self._table(rows, [c for c in columns if self.format == "wide" or not c.wide])

    def item(
        self, row: Json, lines: Sequence[Column], name: str, sections: Sequence[Section] = ()
    ) -> None:
        """One thing, described."""
        match self.format:
            case "json":
                self.json(row)
            case "jsonl":
                self.line(to_json(row))
            case "yaml":
                self.stream.write(to_yaml(row))
            case "name":
                self.line(str(row[name]))
            case _:
                self._description(row, lines)
                for section in sections:
                    self._section(row, section)

    def json(self, value: Json) -> None:
        """An object, indented, whatever the format."""
        self.line(json.dumps(value, indent=2, ensure_ascii=False))

    def line(self, text: str) -> None:
        """One line as it is."""
        self.stream.write(text + "\n")

    def _section(self, row: Json, section: Section) -> None:
        rows = row[section.key]
        if rows:
            self.line("")
            self.line(section.title)
            self._table(rows, [c for c in section.columns if self.format == "wide" or not c.wide])

    def _description(self, row: Json, lines: Sequence[Column]) -> None:
        shown = [line for line in lines if self.format == "wide" or not line.wide]
        if not self.is_terminal:
            for line in shown:
                self.line(f"{line.title}\t{self._cell(row, line)}")
            return
        width = max((len(line.title) for line in shown), default=0) + 2
        for line in shown:
            self.line(f"{line.title:<{width}}{self._cell(row, line)}")

    def _table(self, rows: Sequence[Json], columns: Sequence[Column]) -> None:
        if not self.is_terminal:
            self.line("\t".join(column.title for column in columns))
            for row in rows:
                self.line("\t".join(self._cell(row, column) for column in columns))
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in columns:
            right = column.kind in ("number", "size", "seconds", "share", "rate")
            table.add_column(column.title, justify="right" if right else "left", overflow="fold")
        for row in rows:
            cells = [self._cell(row, column) for column in columns]
            pairs = zip(cells, columns, strict=True)
            table.add_row(*(Text(cell, _style(cell, column)) for cell, column in pairs))
        Console(file=self.stream, highlight=False).print(table)

    def _cell(self, row: Mapping[str, Any], column: Column) -> str:
        value = row.get(column.key)
        if value is None or value == "" or value == []:
            return "-"
        if self.is_terminal and column.kind == "size":
            return format_size(value)
        if self.is_terminal and column.kind == "seconds":
            return format_age(round(value * 1000))
        if column.kind == "seconds":
            return f"{value:.3f}"
        if column.kind == "rate":
            digits = 3 if value < 100 else 0
            text = f"{value:.{digits}f}"
            return (text.rstrip("0").rstrip(".") if digits else text) + "/s"
        if column.kind == "share":
            return f"{value:.2%}"
        if isinstance(value, dict):
            value = [f"{key}={_plain(each)}" for key, each in value.items()]
        if isinstance(value, list):
            value = ",".join(map(_plain, value))
        return printable(_plain(value))


def _plain(value: Any) -> str:
    """A scalar as a cell shows it: true, false and null as in JSON."""
    if isinstance(value, bool | None):
        return to_json(value)
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value)


def _style(cell: str, column: Column) -> str:
    if column.kind == "name":
        return "cyan"
    return _STATE_STYLES.get(cell, "") if column.kind == "state" else ""


def printable(text: str) -> str:
    """The text with control characters as escapes: a terminal must not obey data."""
    return _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    known = {9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
    return known or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def counted(count: int, thing: str) -> str:
    """'1 record', '2 records'."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def to_json(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False)


def bytes_fields(name: str, value: bytes | None) -> Json:
    """Bytes in JSON: {name: text} if they are UTF-8, {name_b64: ...} if not, {name: None}."""
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_b64": base64.b64encode(value).decode()}


def to_yaml(value: Any, depth: int = 0) -> str:
    """Block YAML of JSON data; scalars that are not plain words are JSON, which YAML contains."""
    pad = "  " * depth
    if isinstance(value, dict) and value:
        return "".join(_yaml_entry(f"{pad}{_scalar(key)}:", each, depth) for key, each in
                       value.items())  # fmt: skip
    if isinstance(value, list) and value:
        return "".join(_yaml_dash(pad, each, depth) for each in value)
    return f"{pad}{_scalar(value)}\n"


def _yaml_entry(head: str, value: Any, depth: int) -> str:
    if isinstance(value, dict | list) and value:
        return f"{head}\n{to_yaml(value, depth + 1)}"
    return f"{head} {_scalar(value)}\n"


def _yaml_dash(pad: str, value: Any, depth: int) -> str:
    body = to_yaml(value, depth + 1)
    return f"{pad}- {body[len(pad) + 2 :]}"


def _scalar(value: Any) -> str:
    plain = isinstance(value, str) and _PLAIN_YAML.fullmatch(value)
    if plain and value.lower() not in _YAML_WORDS:
        return str(value)
    return json.dumps(value, ensure_ascii=False)
