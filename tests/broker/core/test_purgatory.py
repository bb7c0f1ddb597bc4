"""Each lettered case wakes what it must, once; a model checks arbitrary histories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import logd.broker.core.purgatory as purgatory_module
from logd.broker.core.purgatory import Case, Purgatory, WaitingFetch
from logd.model.errors import Overloaded
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd.model.record_batch import HEADER_BYTES


def partition(number: int) -> TopicPartition:
    return TopicPartition(TopicId(bytes(16)), PartitionId(number))


def advance(purgatory: Purgatory, number: int, new_bytes: int) -> None:
    """The watermark of a partition moves over so many bytes."""
    old, new = Offset(7), Offset(8 if new_bytes else 7)
    purgatory.advanced(partition(number), old, new, lambda start, end: new_bytes)


def waiting(
    purgatory: Purgatory, partitions: list[int], needed_bytes: int = 1
) -> tuple[WaitingFetch, list[Case]]:
    woken: list[Case] = []
    fetch = WaitingFetch([partition(n) for n in partitions], needed_bytes, woken.append)
    purgatory.watch(fetch)
    return fetch, woken


def test_case_a_enough_bytes_over_several_partitions() -> None:
    purgatory = Purgatory()
    _, woken = waiting(purgatory, [0, 1], needed_bytes=1000)
    advance(purgatory, 0, 600)
    advance(purgatory, 2, 600)
    assert woken == []
    advance(purgatory, 1, 400)
    assert woken == [Case.BYTES]
    assert len(purgatory) == 0


def test_case_a_bytes_are_measured_once_and_only_where_it_matters() -> None:
    purgatory, measured = Purgatory(), list[tuple[int, int]]()

    def bytes_between(start: Offset, end: Offset) -> int:
        measured.append((start, end))
        return 500

    purgatory.advanced(partition(0), Offset(0), Offset(1), bytes_between)
    waiting(purgatory, [0])
    waiting(purgatory, [0], needed_bytes=HEADER_BYTES)
    purgatory.advanced(partition(0), Offset(1), Offset(1), bytes_between)
    assert len(purgatory) == 2, "nothing has moved"
    purgatory.advanced(partition(0), Offset(1), Offset(2), bytes_between)
    assert (len(purgatory), measured) == (0, []), "any batch is enough for them"
    waits = [waiting(purgatory, [0], needed_bytes=needed)[1] for needed in (1, 97, 500, 501)]
    purgatory.advanced(partition(0), Offset(2), Offset(5), bytes_between)
    assert (waits, measured) == ([[Case.BYTES]] * 3 + [[]], [(2, 5)])


def test_case_b_time_up() -> None:
    purgatory = Purgatory()
    fetch, woken = waiting(purgatory, [0])
    purgatory.time_up(fetch)
    advance(purgatory, 0, 10)
    assert woken == [Case.TIME_UP]


def test_case_c_partition_gone_wakes_only_its_readers() -> None:
    purgatory = Purgatory()
    _, reader = waiting(purgatory, [0, 1])
    _, other = waiting(purgatory, [1])
    purgatory.partition_gone(partition(0))
    assert (reader, other) == ([Case.PARTITION_GONE], [])


def test_case_d_start_moved() -> None:
    purgatory = Purgatory()
    _, woken = waiting(purgatory, [3])
    purgatory.start_moved(partition(3))
    assert woken == [Case.START_MOVED]


def test_case_e_draining_wakes_all_and_whatever_comes_after() -> None:
    purgatory = Purgatory()
    _, before = waiting(purgatory, [0])
    purgatory.drain()
    _, after = waiting(purgatory, [0])
    assert (before, after, len(purgatory)) == ([Case.DRAINING], [Case.DRAINING], 0)


def test_case_f_client_gone_is_woken_once() -> None:
    purgatory = Purgatory()
    fetch, woken = waiting(purgatory, [0, 0])
    purgatory.abandon(fetch)
    purgatory.abandon(fetch)
    assert woken == [Case.CLIENT_GONE]


def test_thousands_wait_and_only_the_touched_ones_wake() -> None:
    purgatory = Purgatory()
    fetches = [waiting(purgatory, [n % 500]) for n in range(5000)]
    advance(purgatory, 7, 1)
    assert sum(len(woken) for _, woken in fetches) == 10
    assert len(purgatory) == 4990


def test_the_bound_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purgatory_module, "WAITING_FETCHES_MAX", 2)
    purgatory = Purgatory()
    waiting(purgatory, [0])
    waiting(purgatory, [0])
    with pytest.raises(Overloaded):
        waiting(purgatory, [0])


def test_so_are_the_partitions_that_all_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purgatory_module, "WAITED_FOR_MAX", 3)
    purgatory = Purgatory()
    waiting(purgatory, [0, 1])
    with pytest.raises(Overloaded):
        waiting(purgatory, [0, 1])
    assert len(purgatory) == 1
    waiting(purgatory, [2])
    advance(purgatory, 0, 1 << 30)
    waiting(purgatory, [3, 4])


def test_a_wake_may_watch_again_at_once() -> None:
    purgatory = Purgatory()
    again: list[Case] = []

    def rewatch(case: Case) -> None:
        purgatory.watch(WaitingFetch([partition(0)], 500, again.append))

    purgatory.watch(WaitingFetch([partition(0)], 1, rewatch))
    advance(purgatory, 0, 1)
    assert (again, len(purgatory)) == ([], 1)
    advance(purgatory, 0, 500)
    assert again == [Case.BYTES]


EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.just("watch"),
            st.lists(st.integers(0, 3), min_size=1, max_size=4),
            st.sampled_from([1, HEADER_BYTES, *range(100, 2000, 100)]),
        ),
        st.tuples(st.just("advanced"), st.integers(0, 3), st.sampled_from([0, *range(96, 1500)])),
        st.tuples(st.just("gone"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("time_up"), st.integers(0, 30), st.just(0)),
    ),
    max_size=40,
)


@given(EVENTS)
def test_any_history_wakes_each_fetch_exactly_when_a_naive_model_does(events: list) -> None:  # type: ignore[type-arg]
    purgatory = Purgatory()
    fetches: list[tuple[WaitingFetch, list[Case]]] = []
    model: list[tuple[set[int], int, Case | None]] = []
    for kind, first, second in events:
        if kind == "watch":
            fetches.append(waiting(purgatory, first, second))
            model.append((set(first), second, None))
            continue
        if kind == "time_up":
            if first < len(fetches):
                purgatory.time_up(fetches[first][0])
                partitions, needed, case = model[first]
                model[first] = (partitions, needed, case or Case.TIME_UP)
            continue
        if kind == "advanced":
            advance(purgatory, first, second)
        else:
            purgatory.partition_gone(partition(first))
        for index, (partitions, needed, case) in enumerate(model):
            if case is None and first in partitions:
                needed -= second if kind == "advanced" else 0
                if kind == "gone":
                    case = Case.PARTITION_GONE
                elif needed <= 0:
                    case = Case.BYTES
                model[index] = (partitions, needed, case)
    assert [woken for _, woken in fetches] == [[] if c is None else [c] for *_, c in model]
    assert len(purgatory) == sum(1 for *_, case in model if case is None)
