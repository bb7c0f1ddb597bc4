from logd.cli.pace import Pace
from logd.cli.times import Rate


def test_a_rate_says_how_many_records_go_at_once() -> None:
    assert Pace(Rate(60_000, in_bytes=False)).chunk_records == 3_000
    assert Pace(Rate(3, in_bytes=False)).chunk_records == 1
    assert Pace(Rate(10_000_000, in_bytes=True)).chunk_records == 1
