"""Which appends are answered, and which readers woken, when the high watermark moves."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.log_bench import LARGE_SEGMENTS, SMALL_SEGMENTS, LogBench
from logd.broker.core.purgatory import Case, Purgatory, WaitingFetch
from logd.broker.hosted_partition import HostedPartition, PendingAppend
from logd.broker.ports import Receipt
from logd.model.errors import AckTimeout, LogdError
from logd.model.ids import BrokerId, LeaderEpoch
from logd.model.topic_config import TopicConfig
from logd_partitions.log_tail import Appended


class Bench:
    """A hosted partition whose syncs a test does."""

    def __init__(self, root: Path) -> None:
        self.bench = LogBench(root)
        self.purgatory = Purgatory()
        self.hosted = HostedPartition(
            self.bench.log.topic_partition, self.bench.log, LeaderEpoch(1), BrokerId(0)
        )
        self.answers: list[tuple[str, Receipt | LogdError]] = []

    def pend(self, name: str, appended: Appended) -> PendingAppend:
        pending = PendingAppend(appended, lambda result: self.answers.append((name, result)))
        self.hosted.pending.append(pending)
        return pending

    def advance(self) -> list[str]:
        """Whose appends are answered by it."""
        before = len(self.answers)
        self.hosted.advance(self.purgatory)
        return self.names()[before:]

    def names(self) -> list[str]:
        return [name for name, _ in self.answers]

    def wait_for(self, needed_bytes: int) -> list[tuple[Case, list[str]]]:
        """A reader: why it was woken, and whose appends had been answered then."""
        woken: list[tuple[Case, list[str]]] = []
        where = [self.hosted.topic_partition]
        self.purgatory.watch(
            WaitingFetch(where, needed_bytes, lambda case: woken.append((case, self.names())))
        )
        return woken


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_only_what_lies_below_the_watermark_is_answered_in_order(bench: Bench) -> None:
    bench.pend("a", bench.bench.append())
    bench.pend("b", bench.bench.append())
    assert bench.advance() == []
    bench.bench.sync()
    bench.pend("c", bench.bench.append())
    assert bench.advance() == ["a", "b"]
    assert (bench.hosted.high_watermark, bench.hosted.readable_end) == (6, 6)
    bench.bench.sync()
    assert bench.advance() == ["c"]
    assert [r.replicas_synced for _, r in bench.answers if isinstance(r, Receipt)] == [1, 1, 1]


def test_what_has_timed_out_is_read_all_the_same_and_not_answered_again(bench: Bench) -> None:
    pending = bench.pend("a", bench.bench.append())
    pending.answer(AckTimeout("late"))
    woken = bench.wait_for(1)
    bench.bench.sync()
    assert bench.advance() == [] and woken == [(Case.BYTES, ["a"])]
    assert bench.names() == ["a"] and not bench.hosted.pending


def test_a_duplicate_waits_no_shorter_than_what_it_repeats(bench: Bench) -> None:
    first = bench.bench.append(producer=(7, 0, 0))
    bench.pend("first", first)
    again = bench.bench.append(producer=(7, 0, 0))
    assert again.duplicate
    bench.pend("again", again)
    assert bench.advance() == []
    bench.bench.sync()
    assert bench.advance() == ["first", "again"]
    bench.pend("late", bench.bench.append(producer=(7, 0, 0)))
    assert bench.advance() == ["late"], "though the watermark does not move"


def test_all_that_waits_fails_at_once(bench: Bench) -> None:
    for name in "abc":
        bench.pend(name, bench.bench.append())
    gone = AckTimeout("gone")
    bench.hosted.fail_pending(gone)
    assert bench.answers == [("a", gone), ("b", gone), ("c", gone)]
    bench.bench.sync()
    assert bench.advance() == [] and len(bench.answers) == 3


def test_readers_are_told_before_any_receipt_goes_out(bench: Bench) -> None:
    """A writer that has its receipt may ask a reader for the record at once."""
    woken = bench.wait_for(1)
    for name in "ab":
        bench.pend(name, bench.bench.append())
    bench.bench.sync()
    assert bench.advance() == ["a", "b"]
    assert woken == [(Case.BYTES, [])]


def test_readers_are_woken_where_no_append_waits(bench: Bench) -> None:
    """As on a leader whose follower was the last to hold what was appended by another leader."""
    bench.bench.append()
    woken = bench.wait_for(1)
    bench.bench.sync()
    assert bench.advance() == [] and woken == [(Case.BYTES, [])]


@pytest.mark.parametrize(
    ("config", "missing"), [(LARGE_SEGMENTS, 0), (LARGE_SEGMENTS, 1), (SMALL_SEGMENTS, 0)]
)
def test_the_bytes_that_a_reader_waits_for_come_from_the_index(
    config: TopicConfig, missing: int, bench: Bench
) -> None:
    """To the byte where they are hot; never too few over many segments. The batches differ."""
    bench.bench.log.set_config(config)
    bench.bench.append()
    bench.bench.sync()
    bench.advance()
    start = bench.bench.log.size_bytes
    for number in range(40):
        bench.bench.append([bytes(37 * number)])
    woken = bench.wait_for(bench.bench.log.size_bytes - start + missing)
    bench.bench.sync()
    bench.advance()
    assert bool(woken) == (not missing)


def test_the_watermark_stays_where_less_is_held(bench: Bench) -> None:
    bench.bench.log.set_config(replace(SMALL_SEGMENTS, durability="page_cache"))
    bench.bench.append()
    bench.bench.sync()
    bench.bench.append()
    bench.advance()
    assert bench.hosted.high_watermark == 6
    bench.bench.log.set_config(SMALL_SEGMENTS)
    bench.advance()
    assert bench.hosted.high_watermark == 6
