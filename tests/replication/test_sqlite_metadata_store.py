"""What the embedded store adds to the contract (test_metadata_store.py)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harness.inline_offload import InlineOffload
from harness.manual_clock import ManualClock
from logd.model.errors import BrokerDraining, StoredDataCorrupt
from logd.model.seams import Put
from logd.system.background_tasks import BackgroundTasks
from logd_replication.metadata_watch import PENDING_EVENTS_MAX
from logd_replication.sqlite_metadata_store import SqliteMetadataStore


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "metadata.sqlite")


@pytest.fixture
async def store(path: str, clock: ManualClock) -> AsyncIterator[SqliteMetadataStore]:
    store = await SqliteMetadataStore.open(path, clock, InlineOffload(), BackgroundTasks(clock))
    yield store
    await store.close()


async def test_keys_stay_and_leases_end_when_it_is_opened_again(
    store: SqliteMetadataStore, path: str, clock: ManualClock
) -> None:
    lease = await store.lease(1000)
    await store.transact((), [Put("kept", b""), Put("leased", b"", lease)])
    await store.close()
    again = await SqliteMetadataStore.open(path, clock, InlineOffload(), BackgroundTasks(clock))
    assert await again.get("kept")
    assert await again.get("leased") is None
    assert not await again.keep_alive(lease)
    watch = again.watch("", 0)
    assert [(await anext(watch)).key for _ in range(3)] == ["kept", "leased", "leased"]
    await again.close()


async def test_a_lease_ends_by_itself(
    store: SqliteMetadataStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    real_time = loop.time
    monkeypatch.setattr(loop, "time", lambda: real_time() + clock.boottime_ms() / 1000)
    lease = await store.lease(100)
    await store.transact((), [Put("leased", b"", lease)])
    watch = store.watch("", 0)
    assert (await anext(watch)).value == b""
    ended = asyncio.ensure_future(anext(watch))
    for _ in range(10):
        await asyncio.sleep(0)
    clock.advance(100_000)
    async with asyncio.timeout(30):
        event = await ended
    assert (event.key, event.value) == ("leased", None)


async def test_a_watch_that_fell_behind_catches_up(store: SqliteMetadataStore) -> None:
    watch = store.watch("", 0)
    keys = [f"k{i}" for i in range(PENDING_EVENTS_MAX + 60)]
    await store.transact((), [Put(key, b"") for key in keys[:100]])
    got = [(await anext(watch)).key]
    for at in range(100, len(keys), 60):
        await store.transact((), [Put(key, b"") for key in keys[at : at + 60]])
    got += [(await anext(watch)).key for _ in keys[1:]]
    assert got == keys


async def test_close_ends_watches_and_refuses_calls(store: SqliteMetadataStore) -> None:
    watch = store.watch("", 0)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    with pytest.raises(BrokerDraining):
        await store.get("a")


async def test_damage_is_found_when_it_is_opened(
    store: SqliteMetadataStore, path: str, clock: ManualClock
) -> None:
    await store.transact((), [Put("cluster", b"the only value")])
    await store.close()
    data = Path(path).read_bytes()
    Path(path).write_bytes(data.replace(b"the only value", b"THE only value"))
    with pytest.raises(StoredDataCorrupt, match="key 'cluster'"):
        await SqliteMetadataStore.open(path, clock, InlineOffload(), BackgroundTasks(clock))
