from logd.cli.bench_run import percentiles_ms
from logd.cli.pace import Pace
from logd.cli.times import Rate


def test_percentiles_are_by_nearest_rank_in_ms() -> None:
    found = percentiles_ms([each / 1000 for each in range(1, 1001)])
    assert found == {"p50": 500, "p95": 950, "p99": 990, "p99_9": 999, "max": 1000}
    assert percentiles_ms([0.002]) == dict.fromkeys(["p50", "p95", "p99", "p99_9", "max"], 2)
    assert percentiles_ms([]) is None


def test_a_rate_says_how_many_records_go_at_once() -> None:
    assert Pace(Rate(60_000, in_bytes=False)).chunk_records == 3_000
    assert Pace(Rate(3, in_bytes=False)).chunk_records == 1
    assert Pace(Rate(10_000_000, in_bytes=True)).chunk_records == 1
