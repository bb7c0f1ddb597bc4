"""FetchSession: when a request is due, and what it carries."""

from logd.model.errors import LeaderNotAvailable
from logd.wire.fetch_response import PartitionFetched
from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.fetch_session import EARLY_EMPTY_BACKOFF_MS, REQUESTS_OUTSTANDING_MAX, Upsert

ID = b"i" * 16
MAX_WAIT_MS, BACKOFF_MS = 500, 100


def positions(count: int = 2) -> ConsumerPositions:
    made = ConsumerPositions(
        auto_offset_reset="earliest",
        on_records_lost="go_on",
        skip_undecodable=False,
        buffer_bytes_max=1000,
        max_wait_ms=MAX_WAIT_MS,
        retry_backoff_ms=BACKOFF_MS,
    )
    for number in range(count):
        made.place(made.assign("t", ID, number), 10 * number)
    made.started = True
    return made


def nothing(partition: int, next_offset: int) -> PartitionFetched:
    return PartitionFetched(ID, partition, 99, 0, next_offset, None, memoryview(b""))


def refused(partition: int) -> PartitionFetched:
    error = LeaderNotAvailable("an election is under way")
    return PartitionFetched(ID, partition, 0, 0, 0, error, memoryview(b""))


def test_the_first_request_tells_all_and_the_next_only_what_changed() -> None:
    it = positions()
    first = it.next_request(0)
    assert first is not None and first.upserts == [Upsert(ID, 0, 0), Upsert(ID, 1, 10)]
    assert it.next_request(0) is None, "one is outstanding"
    it.accept(1, [nothing(1, 17)], more=False, throttle_ms=0, now_ms=600)
    second = it.next_request(600)
    assert second is not None and not second.upserts and not second.forgets
    assert it.position(it.get("t", 1)) == 17, "offsets without a record are stepped over"
    it.seek("t", 1, 40)
    third = it.next_request(600)
    assert third is not None and third.upserts == [Upsert(ID, 1, 40)]


def test_a_seek_interrupts_but_only_so_often() -> None:
    it = positions()
    assert it.next_request(0) is not None
    for offset in range(1, REQUESTS_OUTSTANDING_MAX):
        it.seek("t", 0, offset)
        plan = it.next_request(0)
        assert plan is not None and plan.upserts == [Upsert(ID, 0, offset)]
    it.seek("t", 0, 50)
    assert it.next_request(0) is None
    it.accept(1, [], more=False, throttle_ms=0, now_ms=0)
    plan = it.next_request(0)
    assert plan is not None and plan.upserts == [Upsert(ID, 0, 50)]


def test_a_paused_partition_is_forgotten_at_once() -> None:
    """A request may go on for long: it would push what nobody wants now."""
    it = positions()
    assert it.next_request(0) is not None
    it.pause("t", 0)
    plan = it.next_request(0)
    assert plan is not None and plan.forgets == [(ID, 0)] and not plan.upserts
    it.accept(1, [], more=False, throttle_ms=0, now_ms=600)
    it.pause("t", 1)
    last = it.next_request(600)
    assert last is not None and last.forgets == [(ID, 1)]
    it.accept(2, [], more=False, throttle_ms=0, now_ms=600)
    it.accept(3, [], more=False, throttle_ms=0, now_ms=1800)
    assert it.next_request(1800) is None, "nothing to read"


def test_a_partition_whose_pause_after_an_error_is_over_interrupts() -> None:
    """Else it would wait for as long as data comes from the others."""
    it = positions()
    assert it.next_request(0) is not None
    it.accept(1, [refused(0)], more=False, throttle_ms=0, now_ms=0)
    assert it.next_request(0) is not None
    it.accept(2, [nothing(1, 15)], more=True, throttle_ms=0, now_ms=1)
    assert it.next_request(1) is None
    plan = it.next_request(BACKOFF_MS)
    assert plan is not None and plan.upserts == [Upsert(ID, 0, 0)]


def test_an_error_that_may_pass_is_tried_again_after_a_pause() -> None:
    it = positions()
    assert it.next_request(0) is not None
    it.accept(1, [refused(0)], more=False, throttle_ms=0, now_ms=10)
    assert it.session.next_due_ms(10) == 10 + BACKOFF_MS
    plan = it.next_request(10)
    assert plan is not None and plan.forgets == [(ID, 0)]
    it.accept(2, [nothing(1, 11)], more=False, throttle_ms=0, now_ms=10 + BACKOFF_MS)
    plan = it.next_request(10 + BACKOFF_MS)
    assert plan is not None and plan.upserts == [Upsert(ID, 0, 0)]


def test_an_empty_answer_before_its_time_and_a_throttle_hold_the_next_request_back() -> None:
    it = positions()
    assert it.next_request(0) is not None
    it.accept(1, [], more=False, throttle_ms=0, now_ms=1)
    assert it.next_request(1) is None
    due_ms = it.session.next_due_ms(1)
    assert due_ms == 1 + EARLY_EMPTY_BACKOFF_MS
    assert it.next_request(due_ms) is not None
    it.accept(2, [nothing(0, 5)], more=False, throttle_ms=300, now_ms=due_ms)
    assert it.next_request(due_ms + 299) is None
    assert it.next_request(due_ms + 300) is not None


def test_a_new_stream_is_told_everything_again() -> None:
    it = positions()
    assert it.next_request(0) is not None
    it.accept(1, [nothing(0, 5)], more=False, throttle_ms=0, now_ms=600)
    it.restart_session()
    plan = it.next_request(600)
    assert plan is not None and plan.correlation_id == 2
    assert plan.upserts == [Upsert(ID, 0, 5), Upsert(ID, 1, 10)]


def test_parts_of_an_answer_move_positions_without_a_request() -> None:
    it = positions()
    assert it.next_request(0) is not None
    it.accept(1, [nothing(1, 17)], more=True, throttle_ms=0, now_ms=1)
    assert it.next_request(1) is None, "the rest of the answer is still to come"
    it.accept(1, [nothing(1, 23)], more=True, throttle_ms=0, now_ms=1)
    it.accept(1, [], more=False, throttle_ms=0, now_ms=1)
    plan = it.next_request(1)
    assert plan is not None, "an empty last part is no reason to wait"
    assert not plan.upserts, "the broker has moved it with each part"
    it.accept(2, [nothing(1, 29)], more=False, throttle_ms=0, now_ms=2)
    plan = it.next_request(2)
    assert plan is not None and not plan.upserts, "with the last part, too"
    assert it.position(it.get("t", 1)) == 29


def test_parts_after_a_seek_are_dropped() -> None:
    it = positions()
    assert it.next_request(0) is not None
    it.accept(1, [nothing(0, 5), nothing(1, 17)], more=True, throttle_ms=0, now_ms=1)
    it.seek("t", 0, 2)
    it.accept(1, [nothing(0, 9), nothing(1, 18)], more=False, throttle_ms=0, now_ms=1)
    assert it.position(it.get("t", 0)) == 2
    assert it.position(it.get("t", 1)) == 18


def test_a_seek_while_an_answer_goes_on_is_answered_by_the_request_that_it_makes() -> None:
    """The end of the earlier answer says nothing of it, nor of what stays as it is."""
    it = positions()
    assert it.next_request(0) is not None
    it.accept(1, [nothing(0, 5), nothing(1, 17)], more=True, throttle_ms=0, now_ms=1)
    it.seek("t", 0, 2)
    plan = it.next_request(1)
    assert plan is not None and plan.upserts == [Upsert(ID, 0, 2)]
    it.accept(1, [nothing(0, 9), nothing(1, 18)], more=False, throttle_ms=0, now_ms=1)
    it.accept(2, [nothing(0, 4), nothing(1, 20)], more=True, throttle_ms=0, now_ms=1)
    assert it.position(it.get("t", 0)) == 4
    assert it.position(it.get("t", 1)) == 20
