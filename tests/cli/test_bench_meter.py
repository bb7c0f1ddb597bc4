from logd.cli.bench_meter import BenchMeter, percentiles_ms


def test_percentiles_are_by_nearest_rank_in_ms() -> None:
    found = percentiles_ms([each / 1000 for each in range(1, 1001)])
    assert found == {"p50": 500, "p95": 950, "p99": 990, "p99_9": 999, "max": 1000}
    assert percentiles_ms([0.002]) == dict.fromkeys(["p50", "p95", "p99", "p99_9", "max"], 2)
    assert percentiles_ms([]) is None


def test_cpu_is_of_all_clients_and_for_a_million_records() -> None:
    meter = BenchMeter()
    meter.stop()
    own_s = meter.cpu_s
    row = meter.row(500_000, 1, [], others_cpu_s=2.0)
    assert row["client_cpu_seconds_per_million"] == round((own_s + 2.0) * 2, 3)
    assert meter.row(0, 0, [])["client_cpu_seconds_per_million"] is None
