"""Any history of reports and ISR changes, against the rule spelled out."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from logd.model.ids import BrokerId, Offset
from logd_replication.core.high_watermark import HighWatermark

A, B, C = BrokerId(0), BrokerId(1), BrokerId(2)


def test_with_one_replica_it_is_what_that_holds() -> None:
    watermark = HighWatermark(Offset(0), [A])
    assert [watermark.holds(A, Offset(end)) for end in (3, 3, 7)] == [3, 3, 7]


def test_a_follower_moves_it_and_a_silent_one_holds_it() -> None:
    watermark = HighWatermark(Offset(2), [A, B, C], 2)
    assert watermark.holds(A, Offset(9)) == 2
    assert watermark.holds(B, Offset(5)) == 2, "of C nothing is known"
    assert watermark.holds(C, Offset(7)) == 5
    assert watermark.change_isr([A, C], min_insync_replicas=2) == 7


def test_a_pending_member_counts_and_does_not_make_up_the_number() -> None:
    watermark = HighWatermark(Offset(0), [A], 2)
    watermark.holds(A, Offset(9))
    assert watermark.holds(B, Offset(4)) == 0
    assert watermark.change_isr([A], [A, B], min_insync_replicas=2) == 0, "not committed yet"
    assert watermark.change_isr([A, B], min_insync_replicas=2) == 4


def test_a_pending_removal_still_counts() -> None:
    watermark = HighWatermark(Offset(0), [A, B], 1)
    watermark.holds(A, Offset(9))
    watermark.holds(B, Offset(4))
    assert watermark.change_isr([A, B], [A], min_insync_replicas=1) == 4
    assert watermark.change_isr([A], min_insync_replicas=1) == 9


def test_it_never_falls() -> None:
    watermark = HighWatermark(Offset(6), [A])
    assert watermark.holds(A, Offset(4)) == 6
    assert watermark.change_isr([A, B], min_insync_replicas=1) == 6


@dataclass
class Naive:
    """The rule, from the whole history."""

    offset: int
    isr: list[BrokerId]
    pending: list[BrokerId]
    min_insync: int
    reports: list[tuple[int, int]] = field(default_factory=list)

    def look(self) -> None:
        if not self.isr or len(self.isr) < self.min_insync:
            return
        ends = []
        for member in set(self.isr) | set(self.pending):
            said = [end for replica, end in self.reports if replica == member]
            ends.append(said[-1] if said else -1)
        if min(ends) > self.offset:
            self.offset = min(ends)


BROKERS = st.integers(0, 4).map(BrokerId)
ISR = st.lists(BROKERS, unique=True, max_size=5)
HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("holds"), BROKERS, st.integers(0, 60)),
        st.tuples(st.just("isr"), ISR, st.tuples(ISR, st.integers(1, 4))),
    ),
    max_size=60,
)


@given(st.integers(0, 20), ISR, st.integers(1, 4), HISTORY)
def test_any_history_gives_what_the_rule_says(
    start: int,
    isr: list[BrokerId],
    min_insync: int,
    history: list,  # type: ignore[type-arg]
) -> None:
    watermark = HighWatermark(Offset(start), isr, min_insync)
    naive = Naive(start, isr, [], min_insync)
    naive.look()
    assert watermark.offset == naive.offset
    for kind, first, second in history:
        before = watermark.offset
        if kind == "holds":
            naive.reports.append((first, second))
            answer = watermark.holds(first, second)
        else:
            naive.isr, (naive.pending, naive.min_insync) = first, second
            answer = watermark.change_isr(
                naive.isr, naive.pending, min_insync_replicas=naive.min_insync
            )
        naive.look()
        assert answer == watermark.offset == naive.offset >= before
