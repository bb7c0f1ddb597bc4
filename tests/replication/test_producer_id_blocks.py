import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harness.open_store import crash_store, open_store
from logd.broker.ports import ProducerIds
from logd.model.errors import InvalidConfig
from logd.model.ids import ProducerEpoch, ProducerId
from logd_replication.producer_id_blocks import (
    PRODUCER_EPOCH_MAX,
    PRODUCER_IDS_PER_BLOCK,
    ProducerIdBlocks,
)
from logd_replication.sqlite_metadata_store import SqliteMetadataStore

NEW = ProducerEpoch(0)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteMetadataStore]:
    store = await open_store(tmp_path)
    yield store
    await store.close()


async def new_ids(ids: ProducerIds, count: int) -> list[int]:
    made = await asyncio.gather(*(ids.init_producer(None, NEW) for _ in range(count)))
    assert all(epoch == 0 for _, epoch in made)
    return [producer_id for producer_id, _ in made]


async def test_ids_are_never_given_twice(store: SqliteMetadataStore) -> None:
    ids = ProducerIdBlocks(store)
    count = PRODUCER_IDS_PER_BLOCK + 5
    assert await new_ids(ids, count) == list(range(count))
    assert (await store.range(""))[1] == 2, "one transaction a block"


async def test_a_crash_gives_up_the_rest_of_a_block(
    store: SqliteMetadataStore, tmp_path: Path
) -> None:
    assert await new_ids(ProducerIdBlocks(store), 3) == [0, 1, 2]
    again = await open_store(crash_store(tmp_path, tmp_path / "left"))
    assert await new_ids(ProducerIdBlocks(again), 1) == [PRODUCER_IDS_PER_BLOCK]
    await again.close()


async def test_brokers_take_blocks_apart(store: SqliteMetadataStore) -> None:
    brokers = [ProducerIdBlocks(store) for _ in range(4)]
    made = await asyncio.gather(*(new_ids(broker, 30) for broker in brokers))
    starts = sorted(ids[0] for ids in made)
    assert starts == [PRODUCER_IDS_PER_BLOCK * i for i in range(4)]
    assert len({producer_id for ids in made for producer_id in ids}) == 120


async def test_an_epoch_is_raised_until_its_end(store: SqliteMetadataStore) -> None:
    ids = ProducerIdBlocks(store)
    mine, _ = await ids.init_producer(None, NEW)
    assert await ids.init_producer(mine, ProducerEpoch(0)) == (mine, 1)
    last = ProducerEpoch(PRODUCER_EPOCH_MAX - 1)
    assert await ids.init_producer(mine, last) == (mine, PRODUCER_EPOCH_MAX)
    assert await ids.init_producer(mine, ProducerEpoch(PRODUCER_EPOCH_MAX)) == (mine + 1, 0)


async def test_an_id_of_an_earlier_start_keeps_its_owner(store: SqliteMetadataStore) -> None:
    mine, _ = await ProducerIdBlocks(store).init_producer(None, NEW)
    again = ProducerIdBlocks(store)
    assert await again.init_producer(mine, ProducerEpoch(4)) == (mine, 5)


async def test_an_id_that_was_never_given_out_is_replaced(store: SqliteMetadataStore) -> None:
    ids = ProducerIdBlocks(store)
    assert await ids.init_producer(ProducerId(123_456), ProducerEpoch(4)) == (0, 0)
    assert await ids.init_producer(ProducerId(1), ProducerEpoch(4)) == (1, 0)


@pytest.mark.parametrize(("producer_id", "epoch"), [(-1, 0), (0, -1), (0, PRODUCER_EPOCH_MAX + 1)])
async def test_impossible_numbers_are_refused(
    store: SqliteMetadataStore, producer_id: int, epoch: int
) -> None:
    with pytest.raises(InvalidConfig):
        await ProducerIdBlocks(store).init_producer(ProducerId(producer_id), ProducerEpoch(epoch))
