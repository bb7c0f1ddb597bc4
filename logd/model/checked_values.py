"""Numbers and names as they come in: what no message could carry is refused where it is given."""

import math
import operator
from datetime import UTC, datetime, timedelta
from typing import SupportsFloat, SupportsIndex

from logd.model.errors import InvalidConfig

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
UINT32_MAX = (1 << 32) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
SECONDS_BELOW = 10**11
"""Times of ten digits are seconds since 1970, taken for ms they lie in January of that year: who
means those is told. Small ones, as in tests, are taken."""


def check_int(name: str, value: SupportsIndex, low: int, high: int = INT64_MAX) -> int:
    """`value` as an int (NumPy's are taken, too). Raises InvalidConfig where it is none, or not
    within [low, high]."""
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if isinstance(value, bool) or not low <= number <= high:
        raise InvalidConfig(f"{name} is {value!r}, but takes an int, {low} to {high}", field=name)
    return number


def check_number(name: str, value: SupportsFloat) -> float:
    """`value` as a float. Raises InvalidConfig where it is no finite number."""
    try:
        number = math.nan if isinstance(value, str | bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidConfig(f"{name} is {value!r}, but takes a number", field=name)
    return number


def check_partition(value: SupportsIndex) -> int:
    """A partition's number, of any topic. Raises InvalidConfig."""
    return check_int("partition", value, 0, UINT32_MAX)


def time_to_ms(name: str, time: datetime | SupportsIndex) -> int:
    """ms since 1970 UTC of a datetime with a time zone, or of such a number. One between two ms is
    taken as the later: records' times are whole ms. Raises InvalidConfig."""
    if isinstance(time, datetime) and time.tzinfo is not None:
        return -((_EPOCH - time) // _MS)
    try:
        time_ms = check_int(name, time, INT64_MIN)  # type: ignore[arg-type]
    except InvalidConfig:
        raise InvalidConfig(
            f"{name} is {time!r}, but takes a datetime with a time zone, or ms since 1970 UTC",
            field=name,
        ) from None
    if SECONDS_BELOW // 100 <= time_ms < SECONDS_BELOW:
        raise InvalidConfig(
            f"{name} is {time_ms}, which looks like seconds, but takes ms since 1970 UTC, or a "
            "datetime with a time zone",
            field=name,
        )
    return time_ms


def duration_to_ms(name: str, duration: timedelta | SupportsIndex) -> int:
    """Whole ms of a timedelta, or of such a number. Raises InvalidConfig."""
    if isinstance(duration, timedelta):
        return duration // _MS
    return check_int(name, duration, INT64_MIN)


def check_text(name: str, value: str) -> str:
    """A name as a message can carry it; what names are made of is the broker's to say. Raises
    InvalidConfig."""
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise InvalidConfig(f"{name} is {value!r}, but takes a text", field=name) from None
    return value
