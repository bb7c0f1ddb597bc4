"""Places and targets, as programs write them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from logd.model.errors import InvalidConfig
from logd.model.offset_spec import OffsetSpec
from logd_client.descriptions import ResetTarget

BY_TIME: list[Any] = [
    OffsetSpec.at_time,
    OffsetSpec.at_record_time,
    ResetTarget.at_time,
    ResetTarget.at_record_time,
]


@pytest.mark.parametrize("make", BY_TIME)
def test_a_time_is_ms_or_a_datetime_that_has_a_zone(make: Any) -> None:
    assert make(1000).value == 1000
    there = timezone(timedelta(hours=5, minutes=30))
    for moment in (
        datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
        datetime(1970, 1, 1, 5, 30, 1, tzinfo=there),
        datetime(1970, 1, 1, 0, 0, 0, 999_001, tzinfo=UTC),  # the next whole ms
    ):
        assert make(moment) == make(1000)
    assert make(datetime(1969, 12, 31, tzinfo=UTC)).value == -86_400_000
    for none in (datetime(1970, 1, 1), timedelta(1), "1970-01-01", 1.5, True, None):
        with pytest.raises(InvalidConfig, match="a datetime with a time zone, or ms"):
            make(none)


def test_which_time_is_meant() -> None:
    assert [make(0).at for make in BY_TIME[:2]] == ["append_time", "record_time"]
    assert [make(0).to for make in BY_TIME[2:]] == ["append_time", "record_time"]


@pytest.mark.parametrize("make", [ResetTarget.by_duration, ResetTarget.by_record_duration])
def test_a_duration_is_ms_or_a_timedelta(make: Any) -> None:
    assert make(timedelta(seconds=90)) == make(90_000)
    for none in (datetime(1970, 1, 1, tzinfo=UTC), "1h", 1.5):
        with pytest.raises(InvalidConfig):
            make(none)
