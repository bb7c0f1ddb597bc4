import pytest

from logd.cli.position import Position, parse_position
from logd_client.descriptions import OffsetSpec

NOW_MS = 1_000_000


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("earliest", OffsetSpec.earliest()),
        ("latest", OffsetSpec.latest()),
        ("end", OffsetSpec.latest()),
        ("17", OffsetSpec.at_offset(17)),
        ("@-1m", OffsetSpec.at_time(940_000)),
        ("@1970-01-01T00:00:01", OffsetSpec.at_time(1_000)),
    ],
)
def test_a_position_becomes_what_to_ask_the_broker(text: str, spec: OffsetSpec) -> None:
    assert parse_position(text).spec(NOW_MS) == spec


def test_the_last_few() -> None:
    assert parse_position("-5") == Position("last", "-5", 5)


@pytest.mark.parametrize("text", ["", "-", "1.5", "--5", "ends", "²", str(1 << 63)])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(ValueError, match="is no position"):
        parse_position(text)
