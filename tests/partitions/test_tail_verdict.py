"""Each case is what a scan finds, and what follows. `b(base, next, hint)` is a valid batch, `d(o)`
damage where offset o should be, `s(base)` the beginning of a segment."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from logd.model.batch_encoder import encode_batch
from logd.model.ids import Offset
from logd.model.record_batch import BatchHeader
from logd_partitions.core.tail_verdict import Place, TailJudge

HEADER = BatchHeader.unpack(encode_batch([b"x"], timestamps_ms=0))
Event = Callable[[TailJudge], None]


def b(base: int, next_offset: int, hint: int = 0) -> Event:
    header = HEADER._replace(
        base_offset=Offset(base),
        last_offset_delta=next_offset - base - 1,
        synced_hint=Offset(hint),
    )
    return lambda judge: judge.batch(header)


def d(offset: int) -> Event:
    return lambda judge: judge.damage(Place(0, 8 * offset, Offset(offset)))


def s(base: int) -> Event:
    return lambda judge: judge.segment(Offset(base))


class Case(NamedTuple):
    name: str
    synced: int
    events: list[Event]
    cut: int | None
    lost: list[tuple[int, int]]
    next_offset: int


CASES = [
    Case("nothing wrong", 5, [b(0, 5), b(5, 9)], None, [], 9),
    Case("torn at the end", 5, [b(0, 5), d(5)], 5, [], 5),
    Case("torn, and later unsynced batches", 5, [b(0, 5), d(5), b(7, 9, 5)], 5, [], 5),
    Case("below the recovery point", 9, [b(0, 5), d(5), b(7, 9)], None, [(5, 7)], 9),
    Case("a later batch knows", 0, [b(0, 5), d(5), b(7, 9, 6)], None, [(5, 7)], 9),
    Case(
        "a much later batch knows", 0, [d(0), b(2, 4), d(4), b(5, 9, 5)], None, [(0, 2), (4, 5)], 9
    ),
    Case("it knows only of the first", 0, [d(0), b(2, 4), d(4), b(5, 9, 2)], 4, [(0, 2)], 4),
    Case("a hint at the offset says nothing of it", 0, [b(0, 5), d(5), b(7, 9, 5)], 5, [], 5),
    Case("corrupt, and nothing follows", 9, [b(0, 5), d(5)], None, [(5, 9)], 9),
    Case("nothing at all is left", 9, [d(0)], None, [(0, 9)], 9),
    Case("a hint above all", 0, [b(0, 5), d(5), b(6, 7, 6), d(7)], 7, [(5, 6)], 7),
    Case("corrupt before torn", 3, [d(0), b(2, 4), d(4), b(6, 8)], 4, [(0, 2)], 4),
    Case("two places without a batch between", 9, [d(3), d(4), b(6, 9)], None, [(3, 6)], 9),
    Case("an empty segment begins later", 5, [b(0, 4), d(4), s(9)], None, [(4, 9)], 9),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_verdicts(case: Case) -> None:
    judge = TailJudge(Offset(case.synced), Offset(0))
    for event in case.events:
        event(judge)
    verdict = judge.verdict()
    assert (verdict.cut and verdict.cut.offset) == case.cut
    assert [(lost.place.offset, lost.next_offset) for lost in verdict.lost] == case.lost
    assert verdict.next_offset == case.next_offset
    assert verdict.new_segment == bool(case.lost)
