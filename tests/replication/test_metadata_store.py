"""The contract of MetadataStore, for every implementation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from harness.manual_clock import ManualClock
from logd.model.errors import Conflict, InvalidConfig
from logd.model.seams import Compare, Delete, KeyValue, MetadataEvent, MetadataStore, Put
from logd.system.background_tasks import BackgroundTasks
from logd.system.thread_offload import ThreadOffload
from logd_replication.sqlite_metadata_store import SqliteMetadataStore

WAIT_S = 30.0


class StoreUnderTest:
    """A store, and how to let its leases age."""

    def __init__(self, store: MetadataStore, pass_time_ms: Callable[[int], None]) -> None:
        self.store = store
        self.pass_time_ms = pass_time_ms


@pytest.fixture(params=["sqlite"])
async def under_test(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[StoreUnderTest]:
    assert request.param == "sqlite"
    clock, offload = ManualClock(), ThreadOffload("metadata", 1)
    store = await SqliteMetadataStore.open(
        str(tmp_path / "metadata.sqlite"), clock, offload, BackgroundTasks(clock)
    )
    yield StoreUnderTest(store, clock.advance)
    await store.close()
    offload.close()


@pytest.fixture
def store(under_test: StoreUnderTest) -> MetadataStore:
    return under_test.store


async def put(store: MetadataStore, key: str, value: bytes, lease_id: int = 0) -> int:
    revision = await store.transact((), [Put(key, value, lease_id)])
    assert revision is not None
    return revision


async def take(watch: AsyncIterator[MetadataEvent], count: int) -> list[MetadataEvent]:
    async with asyncio.timeout(WAIT_S):
        return [await anext(watch) for _ in range(count)]


async def test_a_key_has_the_revisions_of_its_creation_and_its_last_change(
    store: MetadataStore,
) -> None:
    assert await store.get("a") is None
    first = await put(store, "a", b"1")
    await put(store, "b", b"x")
    last = await put(store, "a", b"2")
    assert first < last
    assert await store.get("a") == KeyValue("a", b"2", last, first)
    await store.transact((), [Delete("a")])
    assert await store.get("a") is None
    again = await put(store, "a", b"3")
    assert await store.get("a") == KeyValue("a", b"3", again, again)


async def test_a_range_is_sorted_and_bounded_by_its_prefix(store: MetadataStore) -> None:
    for key in ["t/b", "t/", "t/ä", "t", "u", "t/a", "t0"]:
        revision = await put(store, key, key.encode())
    found, at = await store.range("t/")
    assert [entry.key for entry in found] == ["t/", "t/a", "t/b", "t/ä"]
    assert at == revision
    everything, _ = await store.range("")
    assert len(everything) == 7


async def test_a_transaction_applies_all_or_nothing(store: MetadataStore) -> None:
    at = await put(store, "a", b"1")
    absent = Compare("b", 0)
    assert await store.transact([Compare("a", at - 1), absent], [Put("b", b"")]) is None
    assert await store.get("b") is None
    revision = await store.transact([Compare("a", at), absent], [Put("b", b""), Delete("a")])
    assert revision == at + 1
    assert await store.get("a") is None
    assert await store.get("b") == KeyValue("b", b"", revision, revision)
    assert await store.transact([absent], [Put("c", b"")]) is None


async def test_compares_can_name_the_creation(store: MetadataStore) -> None:
    created = await put(store, "a", b"1")
    changed = await put(store, "a", b"2")
    assert await store.transact([Compare("a", changed, created=True)], [Put("b", b"")]) is None
    assert await store.transact([Compare("a", created, created=True)], [Put("b", b"")])
    assert await store.transact([Compare("x", 0, created=True)], [Put("c", b"")])


async def test_what_changes_nothing_takes_no_revision(store: MetadataStore) -> None:
    at = await put(store, "a", b"1")
    assert await store.transact((), [Delete("nothing")]) == at
    assert await store.transact([Compare("a", at)], ()) == at
    assert (await store.range(""))[1] == at


async def test_transactions_are_bounded_as_etcd_bounds_them(store: MetadataStore) -> None:
    fits = [Put(f"k{i}", b"") for i in range(128)]
    assert await store.transact((), fits)
    with pytest.raises(InvalidConfig, match="129"):
        await store.transact((), [*fits, Put("one more", b"")])
    with pytest.raises(InvalidConfig, match="129"):
        await store.transact([Compare(f"k{i}", 0) for i in range(129)], ())
    assert await store.transact((), [Put("large", bytes((3 << 19) - 1024))])
    with pytest.raises(InvalidConfig, match="bytes"):
        await store.transact((), [Put("a", bytes(3 << 18)), Put("b", bytes(3 << 18))])
    with pytest.raises(InvalidConfig, match="twice"):
        await store.transact((), [Put("a", b""), Delete("a")])
    with pytest.raises(InvalidConfig, match="without a name"):
        await store.transact((), [Put("", b"")])
    assert await store.get("a") is None


async def test_of_concurrent_compare_and_swaps_one_wins(store: MetadataStore) -> None:
    async def claim(value: int) -> int | None:
        return await store.transact([Compare("a", 0)], [Put("a", str(value).encode())])

    outcomes = await asyncio.gather(*(claim(i) for i in range(20)))
    winners = [i for i, revision in enumerate(outcomes) if revision is not None]
    entry = await store.get("a")
    assert entry is not None and winners == [int(entry.value)]


async def test_a_watch_gives_each_event_once_in_order(store: MetadataStore) -> None:
    start = await put(store, "w/a", b"0")
    past = await put(store, "w/a", b"1")
    watch = store.watch("w/", start)
    assert await take(watch, 1) == [MetadataEvent("w/a", b"1", past)]
    next_event = asyncio.ensure_future(anext(watch))
    await put(store, "x", b"not watched")
    revision = await store.transact((), [Put("w/c", b"2"), Delete("w/a"), Put("w/b", b"3")])
    assert revision is not None
    assert [await next_event, *await take(watch, 2)] == [
        MetadataEvent("w/c", b"2", revision),
        MetadataEvent("w/a", None, revision),
        MetadataEvent("w/b", b"3", revision),
    ]


async def test_watches_that_read_slowly_miss_nothing(store: MetadataStore) -> None:
    watches = [store.watch("w/", 0) for _ in range(3)]
    await put(store, "w/0", b"")
    first = [(await take(watch, 1))[0].key for watch in watches]
    assert first == ["w/0"] * 3
    for i in range(1, 900, 100):
        await store.transact((), [Put(f"w/{i + j}", b"") for j in range(100)])
        await take(watches[0], 100)
    for watch in watches[1:]:
        assert [event.key for event in await take(watch, 900)] == [f"w/{i + 1}" for i in range(900)]


async def test_a_watch_from_a_revision_long_gone_says_so(store: MetadataStore) -> None:
    for _ in range(20):
        await store.transact((), [Put(f"w/{i}", b"") for i in range(100)])
    _, revision = await store.range("w/")
    with pytest.raises(Conflict, match="list 'w/' again"):
        await anext(store.watch("w/", 1))
    watch = store.watch("w/", revision)
    await put(store, "w/new", b"")
    assert (await take(watch, 1))[0].key == "w/new"


async def test_a_cancelled_call_reaches_the_watches_if_it_was_applied(
    store: MetadataStore,
) -> None:
    watch = store.watch("", 0)
    call = asyncio.ensure_future(put(store, "a", b"1"))
    await asyncio.sleep(0)
    call.cancel()
    assert (await take(watch, 1))[0].key == "a"
    assert await store.get("a")


async def test_keys_vanish_with_their_lease(under_test: StoreUnderTest) -> None:
    store = under_test.store
    lease = await store.lease(10)
    other = await store.lease(100)
    await put(store, "alive", b"", lease)
    await put(store, "detached", b"", lease)
    await put(store, "moved", b"", lease)
    await put(store, "kept", b"")
    await put(store, "detached", b"")
    at = await put(store, "moved", b"", other)
    watch = store.watch("", at)
    under_test.pass_time_ms(9_000)
    assert await store.keep_alive(lease)
    under_test.pass_time_ms(9_000)
    assert await store.get("alive")
    under_test.pass_time_ms(1_500)
    assert await store.get("alive") is None
    assert await take(watch, 1) == [MetadataEvent("alive", None, at + 1)]
    assert [entry.key for entry in (await store.range(""))[0]] == ["detached", "kept", "moved"]
    assert not await store.keep_alive(lease)


async def test_an_ended_lease_takes_no_keys(under_test: StoreUnderTest) -> None:
    store = under_test.store
    lease = await store.lease(1)
    under_test.pass_time_ms(1_500)
    with pytest.raises(Conflict, match="has ended"):
        await put(store, "a", b"", lease)
    assert await store.get("a") is None
    with pytest.raises(InvalidConfig):
        await store.lease(0)


async def test_a_revoked_lease_ends_at_once(store: MetadataStore) -> None:
    lease = await store.lease(10)
    await put(store, "alive", b"", lease)
    await store.revoke(lease)
    assert await store.get("alive") is None
    assert not await store.keep_alive(lease)
    await store.revoke(lease)
