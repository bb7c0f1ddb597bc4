import asyncio

from logd.model.seams import MetadataEvent
from logd_replication.metadata_watch import PENDING_EVENTS_MAX, MetadataWatch


def event(revision: int, key: str = "w/a") -> MetadataEvent:
    return MetadataEvent(key, b"", revision)


async def test_it_takes_nothing_before_it_has_caught_up() -> None:
    watch = MetadataWatch("w/", 3)
    watch.publish([event(5)])
    assert not watch.pending
    watch.caught_up([event(4)], 5)
    assert watch.seen_revision == 5
    watch.publish([event(6), event(6, "x"), event(7)])
    assert [e.revision for e in watch.pending] == [4, 6, 7]
    assert watch.seen_revision == 7


async def test_too_many_events_put_it_behind_at_a_transaction_boundary() -> None:
    watch = MetadataWatch("w/", 0)
    watch.caught_up([], 1)
    watch.publish([event(2)] * (PENDING_EVENTS_MAX - 1))
    watch.publish([event(3), event(3)])
    assert watch.behind and watch.seen_revision == 2
    watch.publish([event(4)])
    assert len(watch.pending) == PENDING_EVENTS_MAX - 1


async def test_what_is_not_watched_moves_the_revision_on() -> None:
    watch = MetadataWatch("w/", 0)
    watch.caught_up([], 1)
    watch.publish([event(2, "other")])
    assert not watch.pending and watch.seen_revision == 2


async def test_it_wakes_its_reader() -> None:
    watch = MetadataWatch("w/", 0)
    watch.caught_up([], 1)
    waiting = asyncio.ensure_future(watch.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    watch.publish([event(2)])
    await waiting
    watch.close()
    await watch.wait()
