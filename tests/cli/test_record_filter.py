import msgspec
import pytest

from logd.cli.record_filter import RecordFilter, parse_pattern
from logd_client.record import Record

RECORD = Record("t", 0, 0, 0, b"k", b"card declined\xff", [("region", b"eu"), ("n", None)])


@pytest.mark.parametrize(
    ("chosen", "takes"),
    [
        (RecordFilter(), True),
        (RecordFilter(parse_pattern("card.*decl")), True),
        (RecordFilter(parse_pattern("^declined")), False),
        (RecordFilter(key="k"), True),
        (RecordFilter(key="K"), False),
        (RecordFilter(headers=(("region", "eu"),)), True),
        (RecordFilter(headers=(("region", "us"),)), False),
        (RecordFilter(headers=(("n", ""),)), False),
        (RecordFilter(parse_pattern("card"), "k", (("region", "us"),)), False),
    ],
)
def test_all_that_is_asked_must_hold(chosen: RecordFilter, takes: bool) -> None:
    assert chosen.takes(RECORD) is takes


def test_a_null_value_matches_no_pattern() -> None:
    assert not RecordFilter(parse_pattern("")).takes(msgspec.structs.replace(RECORD, value=None))


def test_what_is_no_pattern() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        parse_pattern("(")
