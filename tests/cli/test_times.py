import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.cli.times import (
    Rate,
    format_age,
    format_duration,
    format_size,
    format_time,
    parse_duration,
    parse_rate,
    parse_size,
    parse_time,
)

NOW_MS = 1_740_830_400_000  # 2025-03-01T12:00:00Z


@pytest.mark.parametrize(
    "text",
    [
        "2025-03-01T12:00:00Z",
        "2025-03-01T12:00:00",
        "2025-03-01T12:00",
        "2025-03-01 12:00:00.000",
        "@2025-03-01T12:00:00z",
        "2025-03-01T13:00:00+01:00",
        "2025-03-01T13:00:00+0100",
        "2025-03-01 10:30:00-0130",
        "1740830400000",
        "@1740830400000",
        "@now",
        "now",
    ],
)
def test_a_moment_in_all_its_spellings(text: str) -> None:
    assert parse_time(text, NOW_MS) == NOW_MS


def test_a_time_without_zone_is_utc_and_a_day_is_its_first_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "IST-05:30")
    time.tzset()
    try:
        assert parse_time("2025-03-01T12:00:00", 0) == NOW_MS
        assert format_time(parse_time("2025-03-01", 0)) == "2025-03-01T00:00:00.000Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["@-15m", "-15m"])
def test_so_long_ago(text: str) -> None:
    assert parse_time(text, NOW_MS) == NOW_MS - 900_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "noon",
        "20250301",
        "1740830400",
        "1740830400000.5",
        "+1740830400000",
        "2025-13-01",
        "2025-03-01T12",
        "@-15",
    ],
)
def test_what_is_no_time_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time|has no unit|is no duration"):
        parse_time(text, NOW_MS)


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_times_print_and_read_back(time_ms: int) -> None:
    assert parse_time(format_time(time_ms), 0) == time_ms


def test_a_time_beyond_the_calendar_prints_as_its_number() -> None:
    assert format_time(1 << 62) == f"{1 << 62}ms"


@given(st.integers(0, 1 << 50))
def test_durations_print_and_read_back(duration_ms: int) -> None:
    assert parse_duration(format_duration(duration_ms)) == duration_ms


@pytest.mark.parametrize(
    ("duration_ms", "age"),
    [(0, "0ms"), (350, "350ms"), (1_350, "1s"), (5_400_000, "1h30m"), (183_600_000, "2d3h"),
     (-61_000, "-1m1s")],
)  # fmt: skip
def test_an_age_has_two_units(duration_ms: int, age: str) -> None:
    assert format_age(duration_ms) == age


@pytest.mark.parametrize("text", ["15", "-5", "1h30", "m", "1 h", ""])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"no unit|no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("512KiB", 524_288), ("10MB", 10_000_000), ("7", 7), ("0", 0)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["-1", "10 MB", "10mb", "ten"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1023, "1023B"), (1536, "1.5KiB"), (1 << 20, "1MiB"), (1023 << 20, "1023MiB")],
)
def test_sizes_print_at_a_glance(size: int, text: str) -> None:
    assert format_size(size) == text


def test_rates_of_records_and_of_bytes() -> None:
    assert parse_rate("60000/s") == Rate(60_000, in_bytes=False)
    assert parse_rate("10MB/s") == Rate(10_000_000, in_bytes=True)


@pytest.mark.parametrize("text", ["60000", "0/s", "10MB/m", "/s", "fast"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        parse_rate(text)
