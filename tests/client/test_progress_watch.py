from harness.fake_fetch_broker import stored_batch
from logd.wire.fetch_response import PartitionFetched
from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.partition_position import PartitionPosition
from logd_client.core.progress_watch import ProgressWatch, Standstill

TOPIC_ID = b"t" * 16


def world() -> tuple[ConsumerPositions, PartitionPosition, ProgressWatch]:
    """One partition, whose 4 records are fetched."""
    positions = ConsumerPositions(
        auto_offset_reset="earliest",
        on_records_lost="go_on",
        skip_undecodable=False,
        buffer_bytes_max=1 << 20,
        max_wait_ms=500,
        retry_backoff_ms=10,
    )
    at = positions.assign("t", TOPIC_ID, 0)
    positions.place(at, 0)
    plan = positions.next_request(0)
    assert plan is not None
    batch = memoryview(stored_batch([b"v"] * 4, 0))
    fetched = PartitionFetched(TOPIC_ID, 0, 4, 0, 4, None, batch)
    positions.accept(plan.correlation_id, [fetched], more=False, throttle_ms=0, now_ms=0)
    return positions, at, ProgressWatch(positions)


def test_what_is_in_hand_stands_still_until_the_application_comes_back() -> None:
    positions, at, watch = world()
    watch.look(0)
    cursor = positions.current_cursor()
    assert cursor is not None
    cursor.take(2)
    watch.look(100)
    watch.look(5_000)
    assert watch.standstills(6_000, 5_900) == [Standstill(at, 0, 5_900, True)]
    assert watch.standstills(6_000, 5_901) == []
    cursor.take(1)
    watch.look(6_000)
    assert watch.standstills(6_100, 100) == [Standstill(at, 0, 100, True)]
    positions.acknowledge()
    watch.look(7_000)
    assert watch.standstills(7_500, 500) == [Standstill(at, 3, 500, False)]


def test_what_is_there_and_not_taken_stands_still_unless_it_is_paused() -> None:
    positions, at, watch = world()
    watch.look(0)
    assert watch.standstills(400, 400) == [Standstill(at, 0, 400, False)]
    positions.pause("t", 0)
    assert watch.standstills(400, 0) == []
    watch.look(500)
    positions.resume("t", 0)
    assert watch.standstills(600, 0) == [Standstill(at, 0, 100, False)]
    positions.withhold(at)
    assert watch.standstills(600, 0) == []
    positions.unassign(at)
    watch.look(700)
    assert watch.standstills(10_000, 0) == []
