"""Records a second, from commits."""

import pytest

from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core import commit_rates
from logd_consumer_groups.core.commit_rates import SPACING_MS, WINDOW_MS, CommitRates

WHERE = TopicPartition(TopicId(b"t" * 16), PartitionId(0))


def rate(rates: CommitRates, now_ms: int, start: int = 0) -> float | None:
    return rates.rate("g", WHERE, now_ms, log_start_offset=Offset(start))


def test_a_rate_needs_two_commits_and_a_second() -> None:
    rates = CommitRates()
    assert rate(rates, 0) is None
    rates.observe("g", WHERE, Offset(0), 0)
    assert rate(rates, 10_000) is None
    rates.observe("g", WHERE, Offset(500), 999)
    assert rate(rates, 999) is None
    assert rate(rates, 5000) == 100.0


def test_only_the_last_minute_counts_and_samples_stay_few() -> None:
    rates = CommitRates()
    for second in range(300):
        speed = 10 if second < 200 else 50
        start = 0 if second < 200 else 200 * 10 - 200 * 50
        rates.observe("g", WHERE, Offset(start + second * speed), second * 1000)
    assert rate(rates, 299_000) == pytest.approx(50)
    assert len(rates._samples["g", WHERE]) <= WINDOW_MS // SPACING_MS + 2


def test_a_group_that_stands_still_comes_to_zero() -> None:
    rates = CommitRates()
    rates.observe("g", WHERE, Offset(0), 0)
    rates.observe("g", WHERE, Offset(600), 10_000)
    assert rate(rates, 30_000) == 20.0
    assert rate(rates, 10_000 + WINDOW_MS) == 0.0


def test_going_back_starts_anew() -> None:
    rates = CommitRates()
    rates.observe("g", WHERE, Offset(1000), 0)
    rates.observe("g", WHERE, Offset(0), 1000)
    rates.observe("g", WHERE, Offset(100), 3000)
    assert rate(rates, 3000) == 50.0
    rates.forget("g")
    assert rate(rates, 3000) is None


def test_what_retention_took_was_not_read() -> None:
    rates = CommitRates()
    rates.observe("g", WHERE, Offset(0), 0)
    rates.observe("g", WHERE, Offset(100), 5000)
    rates.observe("g", WHERE, Offset(1_000_010), 6000)
    assert rate(rates, 10_000, start=1_000_000) is None
    rates.observe("g", WHERE, Offset(1_000_060), 11_000)
    rates.observe("g", WHERE, Offset(1_000_110), 16_000)
    assert rate(rates, 16_000, start=1_000_010) == 10.0


def test_a_log_that_starts_where_the_group_is_has_taken_nothing() -> None:
    rates = CommitRates()
    rates.observe("g", WHERE, Offset(0), 0)
    rates.observe("g", WHERE, Offset(100), 5000)
    rates.observe("g", WHERE, Offset(200), 10_000)
    assert rate(rates, 10_000, start=100) == 20.0


def test_all_that_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_rates, "SAMPLES_MAX", 4)
    rates = CommitRates()
    for group in ("a", "b"):
        rates.observe(group, WHERE, Offset(0), 0)
        rates.observe(group, WHERE, Offset(600), 2000)
    rates.observe("a", WHERE, Offset(900), 3000)
    rates.observe("c", WHERE, Offset(0), 3000)
    assert [
        rates.rate(group, WHERE, 3000, log_start_offset=Offset(0)) for group in ("a", "b", "c")
    ] == [300.0, None, None]
    assert sorted(rates._groups) == ["a", "c"]
    rates.forget("a")
    rates.forget("c")
    assert (rates._samples, rates._groups, rates._count) == ({}, {}, 0)
