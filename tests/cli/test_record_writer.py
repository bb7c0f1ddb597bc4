import io
import json

from logd.cli.output import Output
from logd.cli.record_template import parse_template
from logd.cli.record_writer import RecordWriter
from logd_client.record import Record

RECORDS = [
    Record("t", 0, 7, 1_000, b"k", b"v\x1b[2J", [("a", b"b")]),
    Record("t", 1, 8, 2_000, None, None),
    Record("t", 1, 9, 3_000, None, b"\xff\n"),
]


class Stream(io.TextIOWrapper):
    def __init__(self, terminal: bool = False) -> None:
        self.written = io.BytesIO()
        self.terminal = terminal
        super().__init__(self.written)

    def isatty(self) -> bool:
        return self.terminal


def written(format: str | None, template: str | None = None, terminal: bool = False) -> bytes:
    stream = Stream(terminal)
    parsed = None if template is None else parse_template(template)
    writer = RecordWriter(Output(format, stream), parsed)
    writer.write(RECORDS[:1])
    writer.write(RECORDS[1:])
    writer.close()
    return stream.written.getvalue()


def test_values_go_through_a_pipe_as_they_are() -> None:
    assert written(None) == b"v\x1b[2J\n\n\xff\n\n"


def test_values_are_made_harmless_on_a_terminal() -> None:
    assert written(None, terminal=True) == b"v\\x1b[2J\n\n\\xff\n\n"


def test_a_template_escapes_the_data_but_not_itself_on_a_terminal() -> None:
    assert written(None, r"\x1b[1m%k=%v\n", terminal=True).startswith(b"\x1b[1mk=v\\x1b[2J\n")
    assert written(None, r"%t:%p@%o %h %T\n").startswith(b"t:0@7 a=b 1970-01-01T00:00:01.000Z\n")


def test_a_template_tells_none_from_empty() -> None:
    assert written(None, r"[%k=%v]") == b"[k=v\x1b[2J][null=null][null=\xff\n]"
    writer = RecordWriter(Output(None, stream := Stream()), parse_template("[%k=%v]"))
    writer.write([Record("t", 0, 1, 0, b"", b"")])
    writer.close()
    assert stream.written.getvalue() == b"[=]"


def test_jsonl() -> None:
    first, second, third = map(json.loads, written("jsonl").splitlines())
    assert first == {
        "topic": "t",
        "partition": 0,
        "offset": 7,
        "timestamp": "1970-01-01T00:00:01.000Z",
        "key": "k",
        "value": "v\x1b[2J",
        "headers": [{"name": "a", "value": "b"}],
    }
    assert second["value"] is None and second["key"] is None
    assert third["value_b64"] == "/wo=" and "value" not in third


def test_json_is_one_document_with_the_same_items() -> None:
    lines = [json.loads(line) for line in written("json").splitlines() if line.startswith(b"  {")
             and not line.endswith(b",")]  # fmt: skip
    assert json.loads(written("json"))["items"][-1:] == lines[-1:]
    assert len(json.loads(written("json"))["items"]) == 3


def test_no_records_are_an_empty_document() -> None:
    stream = Stream()
    RecordWriter(Output("json", stream)).close()
    assert json.loads(stream.written.getvalue()) == {"items": []}


def test_names_and_tables() -> None:
    assert written("name") == b"t:0@7\nt:1@8\nt:1@9\n"
    header, first, second, _ = written("wide").decode().splitlines()
    assert header.split("\t")[-1] == "HEADERS"
    assert first.split("\t")[3:] == ["1970-01-01T00:00:01.000Z", "k", "v\\x1b[2J", "a=b"]
    assert second.split("\t")[4:] == ["-", "-", ""]
