"""The window: of a lane one at a time, in order; what is done; what is stale."""

from collections.abc import Hashable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.batch_decoder import decode_batch
from logd.model.batch_encoder import encode_batch
from logd.model.record_batch import stamp
from logd_client.core.partition_position import PartitionPosition
from logd_client.core.record_window import WINDOW_RECORDS_MAX, Delivery, Order, RecordWindow
from logd_client.record_batch import RecordBatch
from logd_client.work_record import Retry

BYTES_MAX = 1 << 20


def batch(base_offset: int, keys: Sequence[bytes | None], value: bytes = b"v") -> RecordBatch:
    encoded = encode_batch([value] * len(keys), keys=keys, timestamps_ms=[0] * len(keys))
    head = stamp(
        encoded, leader_epoch=1, base_offset=base_offset, append_timestamp_ms=0, synced_hint=0
    )
    decoded = decode_batch(head + encoded[len(head) :])
    return RecordBatch("t", 0, decoded, 0, base_offset + len(keys))


def position(number: int = 0) -> PartitionPosition:
    at = PartitionPosition("t", b"t" * 16, number)
    at.move(0)
    at.taken = 0
    return at


def taken(window: RecordWindow, now_ms: int = 0) -> list[Delivery]:
    return list(iter(lambda: window.take(now_ms), None))


def offsets(deliveries: list[Delivery]) -> list[int]:
    return [each.record.offset for each in deliveries]


def test_of_a_key_one_is_in_hand_and_records_without_one_wait_for_nobody() -> None:
    window, at = RecordWindow("key", BYTES_MAX), position()
    window.add(at, batch(0, [b"a", b"a", b"b", None, None, b"a"]))
    first = taken(window)
    assert offsets(first) == [0, 2, 3, 4]
    window.finish(first[1])
    assert taken(window) == []
    window.finish(first[0])
    (second,) = taken(window)
    assert second.record.offset == 1
    window.finish(second)
    assert offsets(taken(window)) == [5]


@pytest.mark.parametrize(("order", "at_once"), [("partition", [0, 10]), ("none", [0, 1, 10, 11])])
def test_a_partition_or_nothing_may_be_the_order(order: Order, at_once: list[int]) -> None:
    window = RecordWindow(order, BYTES_MAX)
    window.add(position(0), batch(0, [b"a", b"a"]))
    window.add(position(1), batch(10, [b"a", b"a"]))
    assert offsets(taken(window)) == at_once


def test_what_is_done_beyond_a_slow_record_is_one_range() -> None:
    window, at = RecordWindow("none", BYTES_MAX), position()
    window.add(at, batch(0, [None] * 5))
    for each in taken(window)[1:]:
        window.finish(each)
    assert at.done_ranges.beyond(0) == ((1, 5),) and at.in_hand == 1


def test_what_is_stale_is_not_handed_out_and_says_nothing() -> None:
    window, at = RecordWindow("key", BYTES_MAX), position()
    window.add(at, batch(0, [b"a", b"a", b"b"]))
    before = window.take(0)
    assert before is not None
    at.move(7)  # a seek
    assert taken(window) == []
    window.finish(before)
    assert at.done_ranges.beyond(0) == () and at.in_hand == 0
    window.add(at, batch(7, [b"a"]))
    assert offsets(taken(window)) == [7]
    assert window.room == WINDOW_RECORDS_MAX - 1


def test_a_partition_that_is_given_up_hands_out_nothing_more() -> None:
    window, at = RecordWindow("none", BYTES_MAX), position()
    window.add(at, batch(0, [None, None]))
    first = window.take(0)
    at.withheld = True
    assert window.take(0) is None and first is not None
    window.finish(first)
    assert at.done == 1, "what was in hand is done all the same"


def test_a_paused_partition_keeps_its_place() -> None:
    window, at, other = RecordWindow("none", BYTES_MAX), position(0), position(1)
    window.add(at, batch(0, [None, None]))
    window.add(other, batch(10, [None]))
    at.paused = True
    assert offsets(taken(window)) == [10]
    at.paused = False
    assert offsets(taken(window)) == [0, 1]


def test_the_window_is_bounded_in_records_and_bytes() -> None:
    window, at = RecordWindow("none", bytes_max=1000), position()
    assert window.room == WINDOW_RECORDS_MAX and window.is_low
    window.add(at, batch(0, [None] * 3, bytes(200)))
    assert window.room == WINDOW_RECORDS_MAX - 3 and not window.is_low
    window.add(at, batch(3, [None] * 2, bytes(200)))
    assert window.room == 0
    window.finish(taken(window)[0])
    assert window.room == WINDOW_RECORDS_MAX - 4


@pytest.mark.parametrize("hold_order", [True, False])
def test_what_is_to_be_tried_again_comes_when_it_is_due(hold_order: bool) -> None:
    window, at = RecordWindow("key", BYTES_MAX), position()
    window.add(at, batch(0, [b"a", b"a", b"b"]))
    first, other = taken(window)
    assert first.work().attempt == 1
    window.retry(first, Retry(50, hold_order), now_ms=1_000)
    window.finish(other)
    assert (at.in_hand, at.attempts) == (0, {0: 1})
    waited = taken(window, 1_049)
    assert offsets(waited) == ([] if hold_order else [1])
    (again,) = taken(window, 1_050)
    assert (again.record.offset, again.work().attempt) == (0, 2)
    window.finish(again)
    for each in [*waited, *taken(window, 1_050)]:
        window.finish(each)
    assert (at.done, at.attempts, window.room) == (3, {}, WINDOW_RECORDS_MAX)


def test_what_was_to_be_tried_again_is_stale_after_a_seek() -> None:
    window, at = RecordWindow("key", BYTES_MAX), position()
    window.add(at, batch(0, [b"a", b"a"]))
    (first,) = taken(window)
    window.retry(first, Retry(50, True), now_ms=0)
    at.move(0)
    assert taken(window, 50) == [] and window.room == WINDOW_RECORDS_MAX
    assert at.attempts == {}


@given(
    keys=st.lists(st.sampled_from([b"a", b"b", b"c", None]), min_size=1, max_size=30),
    order=st.sampled_from(["key", "partition", "none"]),
    finishes=st.lists(st.integers(0, 99), max_size=60),
    workers=st.integers(1, 5),
)
def test_each_comes_once_in_its_lanes_order(
    keys: list[bytes | None], order: Order, finishes: list[int], workers: int
) -> None:
    window, at = RecordWindow(order, BYTES_MAX), position()
    window.add(at, batch(0, keys))
    in_hand: list[Delivery] = []
    given: list[int] = []
    done: set[int] = set()

    def lane(offset: int) -> Hashable:
        if order == "partition":
            return "all"
        return keys[offset] if order == "key" and keys[offset] is not None else offset

    for choice in [*finishes, *range(len(keys) * 2)]:
        while len(in_hand) < workers and (delivery := window.take(0)) is not None:
            offset = delivery.record.offset
            assert lane(offset) not in [lane(each.record.offset) for each in in_hand]
            assert all(e in done for e in range(offset) if lane(e) == lane(offset))
            in_hand.append(delivery)
            given.append(offset)
        if in_hand:
            delivery = in_hand.pop(choice % len(in_hand))
            window.finish(delivery)
            done.add(delivery.record.offset)
        through = next(o for o in range(len(keys) + 1) if o not in done)
        assert at.done == through
        assert len(at.done_ranges.beyond(through)) <= len(keys) - len(done)
    assert sorted(given) == list(range(len(keys))) and len(done) == len(keys)
    assert window.room == WINDOW_RECORDS_MAX
