import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.cli.output import Column, Json, Output, Section, bytes_fields, printable, to_yaml

ROWS = [
    {"name": "a", "size": 1536, "lag": 90.0, "list": [1, 2], "yes": True, "long": "x" * 200},
    {"name": "b\x1b[31m\tz", "size": 0, "lag": None, "list": [], "yes": False, "long": ""},
]
COLUMNS = (
    Column("NAME", "name", "name"),
    Column("SIZE", "size", "size"),
    Column("LAG", "lag", "seconds"),
    Column("LIST", "list"),
    Column("YES", "yes"),
    Column("LONG", "long", wide=True),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(format: str | None, stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO()
    Output(format, stream).items(ROWS, COLUMNS, name="name")
    return stream.getvalue()


def test_a_table_in_a_pipe_is_separated_by_tabs_with_exact_numbers() -> None:
    assert printed(None) == (
        "NAME\tSIZE\tLAG\tLIST\tYES\na\t1536\t90.000\t1,2\ttrue\nb\\x1b[31m\\tz\t0\t-\t-\tfalse\n"
    )


def test_a_rate_has_its_unit_everywhere() -> None:
    for stream in (io.StringIO(), Terminal()):
        rows = [{"rate": rate} for rate in (30.0, 0.5, 60_000, 1 / 3, 8701.403, None)]
        Output(None, stream).items(rows, (Column("RATE", "rate", "rate"),), name="rate")
        cells = stream.getvalue().split()[-6:]
        assert cells == ["30/s", "0.5/s", "60000/s", "0.333/s", "8701/s", "-"]


def test_a_wide_table_in_a_pipe_is_never_cut() -> None:
    assert "x" * 200 in printed("wide")


def test_a_terminal_shows_aligned_columns_and_sizes_at_a_glance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    lines = printed(None, Terminal()).splitlines()
    assert [line.replace("\x1b[1m", "").replace("\x1b[0m", "").split() for line in lines] == [
        ["NAME", "SIZE", "LAG", "LIST", "YES"],
        ["a", "1.5KiB", "1m30s", "1,2", "true"],
        ["b\\x1b[31m\\tz", "0B", "-", "-", "false"],
    ]


def test_a_terminal_that_is_too_narrow_folds_but_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    assert printed("wide", Terminal()).count("x") >= 200


def test_json_is_an_object_of_items_and_jsonl_a_line_each() -> None:
    assert json.loads(printed("json")) == {"items": ROWS}
    assert [json.loads(line) for line in printed("jsonl").splitlines()] == ROWS


def test_a_value_looks_alike_alone_in_a_list_and_in_a_dict() -> None:
    stream = io.StringIO()
    values = [True, False, None, 0.5, 7, "x"]
    rows: list[Json] = [{"it": value} for value in values if value is not None]
    rows += [{"it": values}, {"it": dict(zip("abcdef", values, strict=True))}]
    Output(None, stream).items(rows, (Column("IT", "it"),), "it")
    assert stream.getvalue().splitlines()[1:] == [
        *("true", "false", "0.5", "7", "x"),
        "true,false,null,0.5,7,x",
        "a=true,b=false,c=null,d=0.5,e=7,f=x",
    ]


def test_names() -> None:
    assert printed("name").splitlines()[0] == "a"


def test_about_joins_the_items_in_json_only() -> None:
    stream = io.StringIO()
    Output("json", stream).items([], COLUMNS, "name", executed=False)
    assert json.loads(stream.getvalue()) == {"items": [], "executed": False}


def test_a_description_in_a_pipe_has_its_sections() -> None:
    stream = io.StringIO()
    row = {"name": "a", "parts": [{"n": 1}]}
    section = Section("parts", "parts", (Column("N", "n", "number"),))
    Output(None, stream).item(row, (Column("name", "name"),), "name", (section,))
    assert stream.getvalue() == "name\ta\n\nparts\nN\n1\n"


def test_bytes_are_text_if_utf_8_and_base64_if_not() -> None:
    assert bytes_fields("value", "ü".encode()) == {"value": "ü"}
    assert bytes_fields("value", b"\xff") == {"value_b64": "/w=="}
    assert bytes_fields("key", None) == {"key": None}
    assert bytes_fields("key", b"") == {"key": ""}


def test_control_characters_never_reach_a_terminal() -> None:
    assert printable("a\x1b[2J\n\x9b\u202e ü") == "a\\x1b[2J\\n\\x9b\\u202e ü"


def test_yaml_quotes_what_yaml_would_read_as_something_else() -> None:
    value: Json = {"a": "no", "b": "x: y", "c": [], "d": {}, "e": None, "f": 1.5, "g": "2025-01-01"}
    assert to_yaml(value) == (
        'a: "no"\nb: "x: y"\nc: []\nd: {}\ne: null\nf: 1.5\ng: "2025-01-01"\n'
    )


def test_yaml_nests() -> None:
    value: Json = {"items": [{"name": "t", "p": [1, [2, 3]]}, "s"], "end": {"a": {"b": 1}}}
    assert to_yaml(value) == (
        "items:\n"
        "  - name: t\n"
        "    p:\n"
        "      - 1\n"
        "      - - 2\n"
        "        - 3\n"
        "  - s\n"
        "end:\n"
        "  a:\n"
        "    b: 1\n"
    )


@given(st.text())
def test_yaml_strings_are_plain_words_or_json(text: str) -> None:
    line = to_yaml(text).removesuffix("\n")
    assert line == text if not line.startswith('"') else json.loads(line) == text
