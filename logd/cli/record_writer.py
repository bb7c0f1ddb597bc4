"""Prints consumed records to stdout, as bytes: values, a template, JSON, a table."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO

from logd.cli.output import Json, Output, bytes_fields, printable, to_json, to_yaml
from logd.cli.record_template import RecordTemplate, harmless, headers_text, timestamp_text
from logd.cli.times import format_time

if TYPE_CHECKING:
    from logd_client import Record

NULL = b"null"
"""What a template prints for none, as Kafka's tools do; `-o jsonl` tells it from this text."""
_TABLE = ("TOPIC", "PARTITION", "OFFSET", "TIMESTAMP", "KEY", "VALUE")


class RecordWriter:
    """Writes records as they come, in bounded memory. `close` ends what a format must end.

    Without a format and a template it writes each value and a newline. On a terminal control
    characters of the data are escaped; in a pipe the data goes through as it is.
    """

    def __init__(self, output: Output, template: RecordTemplate | None = None) -> None:
        self._stream: BinaryIO = output.stream.buffer
        self._terminal = output.is_terminal
        self._template = template
        self._letters = template.letters if template else set()
        self._wide = output.chosen == "wide"
        self._started = False
        self._json = output.chosen == "json"
        chosen = None if template else output.chosen
        self._one = self._by_format(chosen)
        self._opening = self._opening_of(chosen)

    def write(self, records: "Sequence[Record]") -> None:
        """Write these. Call `flush` before anything relies on their having been written."""
        self.open()
        self._stream.write(b"".join(map(self._one, records)))

    def open(self) -> None:
        """Write what stands before the first record, once."""
        if not self._started:
            self._stream.write(self._opening)
            self._json_comma = b""
            self._started = True

    def flush(self) -> None:
        """Hand over to the operating system. Raises BrokenPipeError when nobody reads."""
        self._stream.flush()

    def close(self) -> None:
        """Write what stands after the last record."""
        self.open()
        if self._json and self._template is None:
            self._stream.write(b"\n]}\n")
        self.flush()

    def _by_format(self, chosen: str | None) -> "Callable[[Record], bytes]":
        if self._template is not None:
            return self._templated
        match chosen:
            case "jsonl":
                return self._jsonl
            case "json":
                return self._json_item
            case "yaml":
                return self._yaml_item
            case "name":
                return self._name
            case "table" | "wide":
                return self._table_row
        return self._value_for_terminal if self._terminal else _value

    def _opening_of(self, chosen: str | None) -> bytes:
        match chosen:
            case "json":
                return b'{"items": ['
            case "yaml":
                return b"items:\n"
            case "table" | "wide":
                titles = [*_TABLE, "HEADERS"] if self._wide else _TABLE
                return "\t".join(titles).encode() + b"\n"
        return b""

    def _value_for_terminal(self, record: "Record") -> bytes:
        return harmless(record.value or b"") + b"\n"

    def _templated(self, record: "Record") -> bytes:
        assert self._template is not None
        fields = {
            "t": record.topic.encode(),
            "p": b"%d" % record.partition,
            "o": b"%d" % record.offset,
            "k": NULL if record.key is None else record.key,
            "v": NULL if record.value is None else record.value,
            "h": headers_text(record.headers) if "h" in self._letters else b"",
            "T": timestamp_text(record.timestamp_ms) if "T" in self._letters else b"",
        }
        if self._terminal:
            fields |= {letter: harmless(fields[letter]) for letter in "kvh"}
        return self._template.fill(fields)

    def _jsonl(self, record: "Record") -> bytes:
        return to_json(record_json(record)).encode() + b"\n"

    def _json_item(self, record: "Record") -> bytes:
        comma, self._json_comma = self._json_comma, b","
        return comma + b"\n  " + to_json(record_json(record)).encode()

    def _yaml_item(self, record: "Record") -> bytes:
        return to_yaml([record_json(record)], 1).encode()

    def _name(self, record: "Record") -> bytes:
        return f"{record.topic}:{record.partition}@{record.offset}\n".encode()

    def _table_row(self, record: "Record") -> bytes:
        cells = [record.topic, str(record.partition), str(record.offset)]
        cells.append(format_time(record.timestamp_ms))
        data = [record.key, record.value]
        if self._wide:
            data.append(headers_text(record.headers))
        cells += ["-" if each is None else _cell(each) for each in data]
        return "\t".join(cells).encode() + b"\n"


def _value(record: "Record") -> bytes:
    return (record.value or b"") + b"\n"


def _cell(data: bytes) -> str:
    return printable(data.decode("utf-8", "backslashreplace"))


def record_json(record: "Record") -> Json:
    """A record as `-o jsonl` prints it and `produce --format jsonl` reads it."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": format_time(record.timestamp_ms),
        **bytes_fields("key", record.key),
        **bytes_fields("value", record.value),
        "headers": [
            {"name": name, **bytes_fields("value", value)} for name, value in record.headers
        ],
    }
