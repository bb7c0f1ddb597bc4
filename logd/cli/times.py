"""Times, durations, sizes and rates: as people write them, and as they are printed.

All times are ms since 1970 UTC inside and RFC 3339 UTC outside; one written without a zone is
taken as UTC. Every parser raises ValueError with a message for the person who wrote the text.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from logd.model.errors import InvalidConfig

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_EPOCH_MS = re.compile(r"\d{11,18}", re.ASCII)
"""From 1973 on in ms. Ten digits would be seconds: who means those is told."""
_DURATION_PARTS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
_SIZE_STEPS = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


class Rate(NamedTuple):
    """So many a second, of records or of bytes."""

    per_second: int
    in_bytes: bool


def parse_time(text: str, now_ms: int) -> int:
    """'2025-03-01T12:00:00Z', '2025-03-01', '1740830400000' (ms since 1970 UTC), '@-15m' (so long
    before now), '@now'."""
    body = text.removeprefix("@").strip()
    if body == "now":
        return now_ms
    if body.startswith("-"):
        time_ms = now_ms - parse_duration(body[1:])
        if time_ms < (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1):
            raise ValueError(f"'{text}' lies before the year 1")
        return time_ms
    if _EPOCH_MS.fullmatch(body):
        return int(body)
    if not _RFC_3339.fullmatch(body):
        raise ValueError(
            f"'{text}' is no time: write RFC 3339 such as 2025-03-01T12:00:00Z (UTC where no zone "
            "stands), milliseconds since 1970, or @-15m for a quarter of an hour ago"
        )
    try:
        moment = datetime.fromisoformat(body.upper())
    except ValueError as error:
        raise ValueError(f"'{text}' is no time: {error}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def format_time(time_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds, for example 2025-03-01T12:00:00.000Z.

    A time before year 1 or after 9999, which any producer may write, is printed as its number.
    """
    try:
        moment = _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:
        return f"{time_ms}ms"
    return moment.strftime("%Y-%m-%dT%H:%M:%S.").zfill(20) + f"{moment.microsecond // 1000:03}Z"


def parse_duration(text: str) -> int:
    """'1h30m', '500ms', '7d' in ms; the unit must stand there."""
    from logd.model.topic_config import parse_duration_ms

    if re.fullmatch(r"-?\d+", text):
        raise ValueError(f"'{text}' has no unit: write {text}ms or {text}s")
    try:
        return parse_duration_ms(text)
    except InvalidConfig:
        raise ValueError(f"'{text}' is no duration: write 1h30m, 15m or 500ms") from None


def format_duration(duration_ms: int) -> str:
    """The inverse of `parse_duration`: 5_400_000 is '1h30m'."""
    if duration_ms <= 0:
        return "0ms" if duration_ms == 0 else "-" + format_duration(-duration_ms)
    parts = []
    for unit, unit_ms in _DURATION_PARTS:
        count, duration_ms = divmod(duration_ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def format_age(duration_ms: int) -> str:
    """A duration at a glance: its largest unit and the next, '1h30m', '2d3h', '350ms'."""
    parts = re.findall(r"\d+[a-z]+", format_duration(abs(duration_ms)))
    shown = "".join(part for part in parts[:2] if len(parts) == 1 or not part.endswith("ms"))
    return f"-{shown}" if duration_ms < 0 else shown


def parse_size(text: str) -> int:
    """'512KiB', '10MB' or a plain number of bytes."""
    from logd.model.topic_config import parse_size as parse_size_setting

    try:
        size = parse_size_setting(text)
    except InvalidConfig:
        size = -1
    if size < 0:
        raise ValueError(f"'{text}' is no size: write 512KiB, 10MB or a number of bytes")
    return size


def format_size(size_bytes: float) -> str:
    """Three digits and a binary unit: 1536 is '1.5KiB'."""
    for unit, step in _SIZE_STEPS:
        if abs(size_bytes) >= step:
            return (
                f"{size_bytes / step:.3g}{unit}"
                if size_bytes < 999.5 * step
                else (f"{size_bytes / step:.0f}{unit}")
            )
    return f"{size_bytes:.0f}B"


def parse_rate(text: str) -> Rate:
    """'60000/s' is records, '10MB/s' is bytes."""
    amount, slash, unit = text.partition("/")
    try:
        if not slash or unit != "s":
            raise ValueError
        rate = Rate(parse_size(amount), not amount.isdigit())
        if rate.per_second <= 0:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"'{text}' is no rate: write 60000/s for records, or 10MB/s for bytes"
        ) from None
    return rate
