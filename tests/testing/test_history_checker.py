"""The checker bites on forged histories, each in its own kind, and on no clean one."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.testing.history import History, Outcome
from logd.testing.history_checker import FINDINGS_PER_KIND_MAX, FindingKind, check_history

P = "orders:0"


class Forgery(History):
    """A clean run of one producer and two readers over ten records, to be spoilt."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(10):
            self.acknowledged("p", P, number, f"r{number}", number)
        for reader in ("a", "b"):
            self.rewound(reader, P, 0)
            for number in range(10):
                self.delivered(reader, P, number, f"r{number}")
            self.reached(reader, P, 10)
        for watermark in (0, 4, 4, 10):
            self.observed("high watermark", P, watermark)
        self.log = {number: f"r{number}" for number in range(10)}
        self.end()

    def end(self, start_offset: int = 0) -> None:
        """The final read, of what `log` is now."""
        self.finally_read(P, sorted(self.log.items()), start_offset)


def acknowledged_but_gone(h: Forgery) -> None:
    del h.log[4]
    h.readings = [r for r in h.readings if r.offset != 4]


def acknowledged_never_seen(h: Forgery) -> None:
    h.acknowledged("p", P, 10, "r10", 10)


def delivered_then_gone(h: Forgery) -> None:
    h.unknown("p", P, 10, "r10")
    h.delivered("a", P, 10, "r10")


def acknowledged_without_an_offset_and_gone(h: Forgery) -> None:
    h.acknowledged("p", P, 10, "r10", None)


def replaced(h: Forgery) -> None:
    h.acknowledged("p", P, 10, "r10", 10)
    h.unknown("q", P, 0, "other")
    h.log[10] = "other"


def retry_appended_twice(h: Forgery) -> None:
    h.log[10] = "r9"


def old_batch_appended_again_after_a_restart(h: Forgery) -> None:
    for number in range(3):
        h.log[10 + number] = f"r{number}"


def swapped(h: Forgery) -> None:
    h.unknown("p", P, 10, "r10")
    h.unknown("p", P, 11, "r11")
    h.log |= {10: "r11", 11: "r10"}


def overtaken_by_a_later_batch(h: Forgery) -> None:
    h.acknowledged("p", P, 11, "r11", 10)
    h.acknowledged("p", P, 10, "r10", 11)
    h.log |= {10: "r11", 11: "r10"}


def skipped_by_one_reader(h: Forgery) -> None:
    h.readings = [r for r in h.readings if (r[0], r.offset) != ("b", 5)]


def skipped_at_the_end(h: Forgery) -> None:
    h.acknowledged("p", P, 10, "r10", 10)
    h.log[10] = "r10"
    h.reached("a", P, 11)


def skipped_after_a_rewind(h: Forgery) -> None:
    h.rewound("a", P, 2)
    h.delivered("a", P, 3, "r3")


def two_readers_disagree(h: Forgery) -> None:
    h.rewound("b", P, 3)
    h.delivered("b", P, 3, "r4")


def receipt_names_another_offset(h: Forgery) -> None:
    h.acknowledged("p", P, 10, "r10", 11)
    h.log[10] = "r10"


def readers_disagree_on_removed_records(h: Forgery) -> None:
    h.rewound("b", P, 1)
    h.delivered("b", P, 1, "r2")
    h.end(start_offset=5)


def reader_goes_back(h: Forgery) -> None:
    h.delivered("a", P, 9, "r9")


def watermark_falls(h: Forgery) -> None:
    h.observed("high watermark", P, 9)


def committed_offset_falls(h: Forgery) -> None:
    h.observed("committed by g", P, 7)
    h.observed("committed by g", P, 6)


def final_read_goes_back(h: Forgery) -> None:
    h.finally_read(P, [*h.final[P].records, h.final[P].records[9]])


def failed_but_there(h: Forgery) -> None:
    h.failed("p", P, 10, "r10")
    h.log[10] = "r10"


def failed_but_delivered(h: Forgery) -> None:
    h.failed("p", P, 10, "r10")
    h.delivered("a", P, 10, "r10")


def from_nowhere(h: Forgery) -> None:
    h.log[10] = "bytes of a file that was deleted"


FORGERIES: list[tuple[FindingKind, Callable[[Forgery], None]]] = [
    (FindingKind.LOST, acknowledged_but_gone),
    (FindingKind.LOST, acknowledged_never_seen),
    (FindingKind.LOST, delivered_then_gone),
    (FindingKind.LOST, acknowledged_without_an_offset_and_gone),
    (FindingKind.LOST, replaced),
    (FindingKind.DOUBLED, retry_appended_twice),
    (FindingKind.DOUBLED, old_batch_appended_again_after_a_restart),
    (FindingKind.REORDERED, swapped),
    (FindingKind.REORDERED, overtaken_by_a_later_batch),
    (FindingKind.UNSEEN, skipped_by_one_reader),
    (FindingKind.UNSEEN, skipped_at_the_end),
    (FindingKind.UNSEEN, skipped_after_a_rewind),
    (FindingKind.INCONSISTENT_OFFSET, two_readers_disagree),
    (FindingKind.INCONSISTENT_OFFSET, receipt_names_another_offset),
    (FindingKind.INCONSISTENT_OFFSET, readers_disagree_on_removed_records),
    (FindingKind.NON_MONOTONIC, reader_goes_back),
    (FindingKind.NON_MONOTONIC, watermark_falls),
    (FindingKind.NON_MONOTONIC, committed_offset_falls),
    (FindingKind.NON_MONOTONIC, final_read_goes_back),
    (FindingKind.PHANTOM, failed_but_there),
    (FindingKind.PHANTOM, failed_but_delivered),
    (FindingKind.PHANTOM, from_nowhere),
]


@pytest.mark.parametrize(("kind", "forge"), FORGERIES, ids=lambda v: getattr(v, "__name__", v))
def test_a_forged_history_bites_exactly_its_kind(
    kind: FindingKind, forge: Callable[[Forgery], None]
) -> None:
    history = Forgery()
    forge(history)
    if forge not in (final_read_goes_back, readers_disagree_on_removed_records):
        history.end()
    verdict = check_history(history)
    assert not verdict.ok
    assert set(verdict.counts) == {kind}, str(verdict)
    assert f"{kind}: orders:0" in str(verdict)


def test_a_record_both_acknowledged_and_delivered_is_lost_once() -> None:
    history = Forgery()
    del history.log[9]
    history.end()
    assert check_history(history).counts == {FindingKind.LOST: 1}


def test_every_kind_is_forged() -> None:
    assert {kind for kind, _ in FORGERIES} == set(FindingKind)


def test_a_clean_history_has_no_findings_and_says_what_was_judged() -> None:
    verdict = check_history(Forgery())
    assert verdict.ok and verdict.findings == ()
    assert verdict.outcomes == {Outcome.ACKNOWLEDGED: 10}
    assert (verdict.deliveries, verdict.final_records) == (20, 10)
    assert str(verdict).startswith("clean (10 acknowledged, 0 failed, 0 unknown, 20 delivered")


def test_without_idempotence_a_retry_may_double() -> None:
    history = Forgery()
    retry_appended_twice(history)
    history.end()
    assert check_history(history, idempotent=False).ok
    assert not check_history(history).ok


def test_records_with_one_payload_may_stand_as_often_as_sent() -> None:
    history = History()
    for offset in range(3):
        history.acknowledged("p", P, offset, "same", offset)
    history.unknown("p", P, 3, "same")
    history.finally_read(P, [(offset, "same") for offset in range(4)])
    assert check_history(history).ok
    history.finally_read(P, [(offset, "same") for offset in range(5)])
    assert check_history(history).counts == {FindingKind.DOUBLED: 1}
    history.finally_read(P, [(offset, "same") for offset in range(2)])
    assert check_history(history).counts == {FindingKind.LOST: 1}


def test_what_retention_removed_is_not_lost() -> None:
    history = Forgery()
    history.log = {number: f"r{number}" for number in range(6, 10)}
    history.acknowledged("p", P, 10, "older than memory", None)
    history.end(start_offset=6)
    assert check_history(history).ok


def test_output_is_bounded_but_counted() -> None:
    history = History()
    for number in range(500):
        history.acknowledged("p", P, number, "x" * 10_000 + str(number), number)
    history.finally_read(P, [])
    verdict = check_history(history)
    assert verdict.counts == {FindingKind.LOST: 500}
    assert len(verdict.findings) == FINDINGS_PER_KIND_MAX
    assert len(str(verdict)) < 5000


def test_a_partition_without_a_final_read_cannot_be_judged() -> None:
    history = Forgery()
    history.unknown("p", "orders:1", 0, "x")
    with pytest.raises(ValueError, match="orders:1"):
        check_history(history)


class CleanRun:
    """A correct log in memory, driven by numbers, that records what its clients see."""

    def __init__(self) -> None:
        self.history = History()
        self.log: list[str] = []
        self.start_offset = 0
        self.sent = [0, 0]
        self.next_offset = [0, 0]

    def send(self, producer: int, fate: int) -> None:
        """0: acknowledged, 1: failed, 2: unknown and appended, 3: unknown and not, 4: a receipt
        that names no offset."""
        sequence = self.sent[producer]
        self.sent[producer] += 1
        payload, name = f"{producer}/{sequence}", f"p{producer}"
        offset = len(self.log)
        if fate in (0, 2, 4):
            self.log.append(payload)
        if fate in (0, 4):
            told = offset if fate == 0 else None
            self.history.acknowledged(name, P, sequence, payload, told)
        elif fate == 1:
            self.history.failed(name, P, sequence, payload)
        else:
            self.history.unknown(name, P, sequence, payload)

    def read(self, reader: int) -> None:
        offset = self.next_offset[reader]
        if offset < self.start_offset:
            self.rewind(reader, 0)
        elif offset < len(self.log):
            self.history.delivered(f"c{reader}", P, offset, self.log[offset])
            self.next_offset[reader] += 1

    def rewind(self, reader: int, distance: int) -> None:
        offset = max(self.start_offset, self.next_offset[reader] - distance)
        self.next_offset[reader] = offset
        self.history.rewound(f"c{reader}", P, offset)

    def observe(self) -> None:
        self.history.observed("high watermark", P, len(self.log))
        for reader, offset in enumerate(self.next_offset):
            self.history.reached(f"c{reader}", P, offset)

    def remove(self) -> None:
        self.start_offset = (self.start_offset + len(self.log)) // 2

    def finish(self) -> History:
        kept = list(enumerate(self.log))[self.start_offset :]
        self.history.finally_read(P, kept, self.start_offset)
        return self.history


STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 1), st.integers(0, 4)),
    st.tuples(st.just("read"), st.integers(0, 1)),
    st.tuples(st.just("rewind"), st.integers(0, 1), st.integers(0, 5)),
    st.tuples(st.just("observe")),
    st.tuples(st.just("remove")),
)


@given(st.lists(STEPS, max_size=60))
def test_clean_histories_stay_clean(steps: list[tuple[object, ...]]) -> None:
    run = CleanRun()
    for name, *arguments in steps:
        getattr(run, str(name))(*arguments)
    verdict = check_history(run.finish())
    assert verdict.ok, str(verdict)


@given(st.lists(STEPS, min_size=10, max_size=60), st.data())
def test_a_dropped_acknowledged_record_is_always_found(
    steps: list[tuple[object, ...]], data: st.DataObject
) -> None:
    run = CleanRun()
    for name, *arguments in [*steps, ("send", 0, 0), ("observe",)]:
        getattr(run, str(name))(*arguments)
    history = run.finish()
    kept = history.final[P].records
    receipts = {a.offset for a in history.attempts}
    lost = data.draw(st.sampled_from([offset for offset, _ in kept if offset in receipts]))
    history.finally_read(P, [r for r in kept if r[0] != lost], run.start_offset)
    assert FindingKind.LOST in check_history(history).counts
