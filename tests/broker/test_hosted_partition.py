"""Which appends are answered when the high watermark moves."""

from pathlib import Path

import pytest

from harness.log_bench import LogBench
from logd.broker.hosted_partition import HostedPartition, PendingAppend
from logd.broker.ports import Receipt
from logd.model.errors import AckTimeout, LogdError
from logd.model.ids import LeaderEpoch
from logd_partitions.partition_log import Appended


class Bench:
    """A hosted partition whose syncs a test does."""

    def __init__(self, root: Path) -> None:
        self.bench = LogBench(root)
        self.hosted = HostedPartition(
            self.bench.log.topic_partition, self.bench.log, LeaderEpoch(1)
        )
        self.answers: list[tuple[str, Receipt | LogdError]] = []

    def pend(self, name: str, appended: Appended, batch_bytes: int) -> PendingAppend:
        pending = PendingAppend(
            appended, batch_bytes, lambda result: self.answers.append((name, result))
        )
        self.hosted.pending.append(pending)
        return pending

    def names(self) -> list[str]:
        return [name for name, _ in self.answers]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_only_what_lies_below_the_watermark_is_answered_in_order(bench: Bench) -> None:
    bench.pend("a", bench.bench.append(), 100)
    bench.pend("b", bench.bench.append(), 200)
    assert bench.hosted.advance() == 0 and bench.answers == []
    bench.bench.sync()
    bench.pend("c", bench.bench.append(), 400)
    assert bench.hosted.advance() == 300
    assert bench.names() == ["a", "b"]
    bench.bench.sync()
    assert bench.hosted.advance() == 400
    assert [r.replicas_synced for _, r in bench.answers if isinstance(r, Receipt)] == [1, 1, 1]


def test_what_has_timed_out_still_counts_as_bytes_and_is_not_answered_again(bench: Bench) -> None:
    pending = bench.pend("a", bench.bench.append(), 100)
    pending.answer(AckTimeout("late"))
    bench.bench.sync()
    assert bench.hosted.advance() == 100, "readers get it all the same"
    assert bench.names() == ["a"] and not bench.hosted.pending


def test_a_duplicate_waits_no_shorter_than_what_it_repeats(bench: Bench) -> None:
    first = bench.bench.append(producer=(7, 0, 0))
    bench.pend("first", first, 100)
    again = bench.bench.append(producer=(7, 0, 0))
    assert again.duplicate
    bench.pend("again", again, 0)
    assert bench.hosted.advance() == 0
    bench.bench.sync()
    assert bench.hosted.advance() == 100
    assert bench.names() == ["first", "again"]


def test_all_that_waits_fails_at_once(bench: Bench) -> None:
    for name in "abc":
        bench.pend(name, bench.bench.append(), 1)
    gone = AckTimeout("gone")
    bench.hosted.fail_pending(gone)
    assert bench.answers == [("a", gone), ("b", gone), ("c", gone)]
    bench.bench.sync()
    assert bench.hosted.advance() == 0 and len(bench.answers) == 3


def test_readers_are_told_before_any_receipt_goes_out(bench: Bench) -> None:
    """A writer that has its receipt may ask a reader for the record at once."""
    answers_when_told: list[list[str]] = []
    for name in "ab":
        bench.pend(name, bench.bench.append(), 100)
    bench.bench.sync()
    bench.hosted.advance(lambda moved_bytes: answers_when_told.append(bench.names()))
    assert answers_when_told == [[]]
    assert bench.names() == ["a", "b"]
