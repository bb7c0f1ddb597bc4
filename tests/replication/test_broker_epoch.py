import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harness.manual_clock import ManualClock
from harness.open_store import crash_store, open_store
from logd.model.errors import Conflict, UnsupportedVersion
from logd.model.ids import BrokerId
from logd.model.seams import Put
from logd.sim.seeded_random import SeededRandom
from logd_replication.broker_epoch import ensure_cluster, raise_broker_epoch
from logd_replication.metadata_schema import CLUSTER_KEY, ClusterValue, encode_value
from logd_replication.sqlite_metadata_store import SqliteMetadataStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteMetadataStore]:
    store = await open_store(tmp_path)
    yield store
    await store.close()


async def test_each_start_raises_the_epoch_of_its_broker(
    store: SqliteMetadataStore, tmp_path: Path
) -> None:
    assert await raise_broker_epoch(store, BrokerId(0)) == 1
    assert await raise_broker_epoch(store, BrokerId(0)) == 2
    assert await raise_broker_epoch(store, BrokerId(1)) == 1
    again = await open_store(crash_store(tmp_path, tmp_path / "left"))
    assert await raise_broker_epoch(again, BrokerId(0)) == 3
    await again.close()


async def test_of_two_starts_at_once_one_is_refused(store: SqliteMetadataStore) -> None:
    outcomes = await asyncio.gather(
        *(raise_broker_epoch(store, BrokerId(0)) for _ in range(2)), return_exceptions=True
    )
    assert outcomes[0] == 1
    assert isinstance(outcomes[1], Conflict)
    assert await raise_broker_epoch(store, BrokerId(0)) == 2


async def test_a_cluster_keeps_its_id(store: SqliteMetadataStore) -> None:
    clock = ManualClock()
    first = await ensure_cluster(store, SeededRandom(1), clock)
    assert len(bytes.fromhex(first.cluster_id)) == 16
    assert first.created_ms == clock.wall_ms()
    assert await ensure_cluster(store, SeededRandom(2), clock) == first


async def test_brokers_that_make_the_cluster_at_once_agree(store: SqliteMetadataStore) -> None:
    made = await asyncio.gather(
        *(ensure_cluster(store, SeededRandom(seed), ManualClock()) for seed in range(5))
    )
    assert len({value.cluster_id for value in made}) == 1
    assert (await store.range(""))[1] == 1, "only the first was written"


async def test_metadata_of_a_newer_logd_is_refused(store: SqliteMetadataStore) -> None:
    newer = ClusterValue("00" * 16, 1, schema_version=2)
    await store.transact((), [Put(CLUSTER_KEY, encode_value(newer))])
    with pytest.raises(UnsupportedVersion, match="version 2"):
        await ensure_cluster(store, SeededRandom(), ManualClock())
