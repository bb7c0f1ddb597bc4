"""Input of `produce` as records: lines, JSON lines, raw, or a template such as '%k:%v\\n'."""

import base64
import difflib
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from logd.cli.error_report import BadUsage
from logd.cli.record_template import RecordTemplate, parse_template
from logd.cli.times import parse_time
from logd.model.errors import RecordTooLarge

RECORD_BYTES_MAX = 64 << 20
"""No topic takes more: a longer line is refused here instead of filling the memory."""

TIMESTAMP_MS_MAX = (1 << 63) - 1

NAMED_FORMATS = ("lines", "jsonl", "raw")
_INPUT_FIELDS = {"k", "v", "h", "T", "p"}
_JSON_FIELDS = (
    *("value", "value_b64", "key", "key_b64", "headers", "timestamp"),
    *("topic", "partition", "offset"),
)


class NewRecord(NamedTuple):
    """A record to be sent. `value` None is a tombstone; `partition` None: by key."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int | None = None
    partition: int | None = None


class RecordParser:
    """Cuts blocks of input into records; what is not yet whole is kept, up to RECORD_BYTES_MAX.

    `feed` and `finish` give records one at a time and raise BadUsage, naming the record that
    cannot be read, once those before it were given.
    """

    def __init__(self, format: str) -> None:
        self._format = format
        self._template: RecordTemplate | None = None
        self._separator: bytes | None = b"\n"
        self._rest = bytearray()
        self.count = 0
        """Records of the input so far, with those that are none: an empty line of jsonl."""
        if format == "raw":
            self._separator = None
        elif format not in NAMED_FORMATS:
            self._template = input_template(format)
            *_, self._separator = self._template.parts  # type: ignore[assignment]

    def feed(self, block: bytes) -> Iterator[NewRecord]:
        """The records that this block completes. Exhaust it before the next block."""
        separator = self._separator
        if separator is None or separator not in self._rest[-len(separator) :] + block:
            self._keep(block)
            return
        *whole, rest = bytes(self._rest + block).split(separator)
        self._rest = bytearray(rest)
        for text in whole:
            if (record := self._parse(text)) is not None:
                yield record

    def finish(self) -> Iterator[NewRecord]:
        """The last record, where the input did not end with a separator."""
        text, self._rest = bytes(self._rest), bytearray()
        if (text or self._format == "raw") and (record := self._parse(text)) is not None:
            yield record

    def _keep(self, block: bytes) -> None:
        self._rest += block
        if len(self._rest) > RECORD_BYTES_MAX:
            raise RecordTooLarge(
                f"record {self.count + 1} of the input is longer than {RECORD_BYTES_MAX} bytes, "
                "the most that any topic takes",
                size=len(self._rest),
                limit=RECORD_BYTES_MAX,
            )

    def _parse(self, text: bytes) -> NewRecord | None:
        self.count += 1
        if self._format in ("lines", "raw"):
            return NewRecord(text)
        try:
            if self._template is not None:
                return _from_template(self._template, text)
            return record_from_json(json.loads(text)) if text.strip() else None
        except (ValueError, KeyError, TypeError) as error:
            shown = text[:60].decode("utf-8", "backslashreplace")
            raise BadUsage(
                f"record {self.count} of the input cannot be read: {error} in '{shown}'",
                attempt="mend it, or say with --format what the input is",
            ) from None


def input_template(text: str) -> RecordTemplate:
    """A template that input can be split by. Raises ValueError."""
    template = parse_template(text)
    parts = template.parts
    if "v" not in template.letters and "k" not in template.letters:
        raise ValueError(f"'{text}' is neither {', '.join(NAMED_FORMATS)} nor a template with %v")
    if unknown := template.letters - _INPUT_FIELDS:
        raise ValueError(f"%{min(unknown)} cannot be given: the broker sets it")
    if not isinstance(parts[-1], bytes):
        raise ValueError(f"'{text}' must end with what ends a record, as in '%k:%v\\n'")
    fields = [part for part in parts if isinstance(part, str)]
    pairs = itertools.pairwise(parts)
    if any(isinstance(a, str) and isinstance(b, str) for a, b in pairs):
        raise ValueError(f"'{text}' has two fields with nothing between them")
    if len(fields) != len(set(fields)):
        raise ValueError(f"'{text}' names a field twice")
    return template


def _from_template(template: RecordTemplate, text: bytes) -> NewRecord:
    fields: dict[str, bytes] = {}
    parts, rest = template.parts[:-1], text
    for at, part in enumerate(parts):
        if isinstance(part, bytes):
            if not rest.startswith(part):
                raise ValueError(f"{part!r} is missing")
            rest = rest[len(part) :]
            continue
        following = parts[at + 1] if at + 1 < len(parts) else None
        if isinstance(following, bytes):
            cut = rest.find(following)
            if cut < 0:
                raise ValueError(f"{following!r} is missing")
            fields[part], rest = rest[:cut], rest[cut:]
        else:
            fields[part], rest = rest, b""
    return NewRecord(
        fields.get("v"),
        fields.get("k"),
        _headers_from_text(fields["h"]) if fields.get("h") else (),
        checked_timestamp(parse_time(fields["T"].decode(), 0)) if "T" in fields else None,
        int(fields["p"]) if "p" in fields else None,
    )


def _headers_from_text(text: bytes) -> list[tuple[str, bytes | None]]:
    pairs = [pair.partition(b"=") for pair in text.split(b",")]
    return [(name.decode(), value if equals else None) for name, equals, value in pairs]


def record_from_json(row: Any) -> NewRecord:
    """A record as `consume -o jsonl` prints it; its topic, partition and offset are not taken over.

    Raises ValueError or TypeError. A `value` that is neither text nor null is kept as its JSON.
    """
    if not isinstance(row, dict):
        raise ValueError('a record is an object such as {"value": "..."}')
    if "value" not in row and "value_b64" not in row:
        raise ValueError("it has neither value nor value_b64")
    if unknown := row.keys() - _JSON_FIELDS:
        name = min(unknown)
        mean = difflib.get_close_matches(name, _JSON_FIELDS, 1)
        hint = f": did you mean '{mean[0]}'?" if mean else f", but {', '.join(_JSON_FIELDS)} may"
        raise ValueError(f"'{name}' is nothing that a record has{hint}")
    timestamp = row.get("timestamp")
    if isinstance(timestamp, str):
        timestamp = parse_time(timestamp, 0)
    if timestamp is not None:
        checked_timestamp(timestamp)
    headers = [
        (str(header["name"]), _bytes_from_json(header, "value"))
        for header in row.get("headers", ())
    ]
    return NewRecord(
        _bytes_from_json(row, "value"), _bytes_from_json(row, "key"), headers, timestamp
    )


def checked_timestamp(timestamp_ms: Any) -> int:
    """A record's time. Raises ValueError where no record can have it."""
    if type(timestamp_ms) is int and 0 <= timestamp_ms <= TIMESTAMP_MS_MAX:
        return timestamp_ms
    raise ValueError(
        f"timestamp {timestamp_ms!r} is no number of ms since 1970, nor a time since then"
    )


def _bytes_from_json(row: dict[str, Any], name: str) -> bytes | None:
    if (encoded := row.get(f"{name}_b64")) is not None:
        return base64.b64decode(encoded, validate=True)
    value = row.get(name)
    if value is None:
        return None
    return (value if isinstance(value, str) else json.dumps(value)).encode()
