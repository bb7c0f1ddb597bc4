"""Templates such as '%t:%p@%o %k=%v\\n': how `consume` prints a record and `produce` splits input.

Fields: %t topic, %p partition, %o offset, %k key, %v value, %h headers (a=b,c=d), %T timestamp;
%% is a percent sign. A key or value that is none prints as null.
Escapes: \\n \\t \\r \\0 \\\\ \\xNN.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from logd.cli.output import printable
from logd.cli.times import format_time

FIELDS = "tpokvhT"
_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "0": b"\0", "\\": b"\\"}
_TOKEN = re.compile(r"%(.?)|\\(x[0-9A-Fa-f]{2}|.?)|([^%\\]+)", re.DOTALL)

Part = bytes | str
"""A literal as bytes, or a field as its letter."""
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class RecordTemplate:
    """A parsed template; `parts` never holds two literals in a row."""

    parts: tuple[Part, ...]

    def fill(self, fields: dict[str, bytes]) -> bytes:
        """The template with these fields; every letter of it must be there."""
        return b"".join(part if isinstance(part, bytes) else fields[part] for part in self.parts)

    @property
    def letters(self) -> set[str]:
        """The fields it uses."""
        return {part for part in self.parts if isinstance(part, str)}


def parse_template(text: str) -> RecordTemplate:
    """Raises ValueError, which names the field or escape that is not known."""
    parts: list[Part] = []
    for match in _TOKEN.finditer(text):
        field, escape, literal = match.groups()
        part: Part
        if field is not None and field != "%":
            if field not in FIELDS or not field:
                known = " ".join(f"%{letter}" for letter in FIELDS)
                raise ValueError(f"'%{field}' is no field; there are {known}, and %% for a percent")
            part = field
        elif field == "%":
            part = b"%"
        elif escape is not None:
            part = _escaped(escape)
        else:
            part = literal.encode()
        if isinstance(part, bytes) and parts and isinstance(parts[-1], bytes):
            parts[-1] += part
        else:
            parts.append(part)
    return RecordTemplate(tuple(parts))


def _escaped(escape: str) -> bytes:
    if len(escape) == 3:
        return bytes([int(escape[1:], 16)])
    if escape not in _ESCAPES:
        raise ValueError(f"'\\{escape}' is no escape; there are \\n \\t \\r \\0 \\\\ \\xNN")
    return _ESCAPES[escape]


def headers_text(headers: Headers) -> bytes:
    """'a=b,c=d'; a null value is the bare name."""
    return b",".join(
        name.encode() if value is None else name.encode() + b"=" + value for name, value in headers
    )


def timestamp_text(timestamp_ms: int) -> bytes:
    """RFC 3339 in UTC."""
    return format_time(timestamp_ms).encode()


def harmless(data: bytes) -> bytes:
    """Data made fit for a terminal: control characters but newline and tab become escapes."""
    text = data.decode("utf-8", "backslashreplace")
    return re.sub("[^\n\t]+", lambda match: printable(match[0]), text).encode()
