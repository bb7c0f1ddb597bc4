import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.open_store import crash_store, open_store
from logd.broker.ports import ProducerIds
from logd.model.errors import InvalidConfig, UnknownProducer
from logd.model.ids import ProducerEpoch, ProducerId
from logd.model.seams import Put
from logd.sim.seeded_random import SeededRandom
from logd_replication import producer_id_blocks
from logd_replication.metadata_schema import (
    PRODUCER_IDS_KEY,
    ProducerEpochValue,
    encode_value,
    producer_epoch_key,
)
from logd_replication.producer_id_blocks import (
    NUMBER_END,
    PRODUCER_EPOCH_MAX,
    PRODUCER_IDS_PER_BLOCK,
    TAG_BITS,
    ProducerIdBlocks,
)
from logd_replication.sqlite_metadata_store import SqliteMetadataStore

NEW = ProducerEpoch(0)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteMetadataStore]:
    store = await open_store(tmp_path)
    yield store
    await store.close()


async def open_ids(store: SqliteMetadataStore, seed: int = 1) -> ProducerIdBlocks:
    return await ProducerIdBlocks.open(store, SeededRandom(seed))


async def new_ids(ids: ProducerIds, count: int) -> list[int]:
    made = await asyncio.gather(*(ids.init_producer(None, NEW) for _ in range(count)))
    assert all(epoch == 0 for _, epoch in made)
    return [producer_id for producer_id, _ in made]


def numbers(made: list[int]) -> list[int]:
    return [producer_id >> TAG_BITS for producer_id in made]


def is_known(ids: ProducerIdBlocks, producer_id: int, epoch: int = 0) -> bool:
    try:
        ids.check(ProducerId(producer_id), ProducerEpoch(epoch))
    except UnknownProducer as error:
        assert error.details["needs_new_id"] == "true"
        return False
    return True


async def test_ids_are_never_given_twice(store: SqliteMetadataStore) -> None:
    ids = await open_ids(store)
    _, before = await store.range("")
    count = PRODUCER_IDS_PER_BLOCK + 5
    assert numbers(await new_ids(ids, count)) == list(range(1, count + 1))
    assert (await store.range(""))[1] == before + 2, "one transaction a block"


async def test_a_crash_gives_up_the_rest_of_a_block(
    store: SqliteMetadataStore, tmp_path: Path
) -> None:
    mine = await new_ids(await open_ids(store), 3)
    left = await open_store(crash_store(tmp_path, tmp_path / "left"))
    again = await open_ids(left, seed=2)
    assert numbers(await new_ids(again, 1)) == [PRODUCER_IDS_PER_BLOCK + 1]
    assert max(mine) < again.first_id
    assert all(is_known(again, producer_id) for producer_id in mine)
    await left.close()


async def test_brokers_take_blocks_apart(store: SqliteMetadataStore) -> None:
    brokers = await asyncio.gather(*(open_ids(store, seed) for seed in range(4)))
    made = await asyncio.gather(*(new_ids(broker, 30) for broker in brokers))
    starts = sorted(numbers(ids)[0] for ids in made)
    assert starts == [PRODUCER_IDS_PER_BLOCK * i + 1 for i in range(4)]
    every = {producer_id for ids in made for producer_id in ids}
    assert len(every) == 120
    assert all(is_known(broker, each) for broker in brokers for each in every)


async def test_what_is_near_a_known_id_is_unknown(store: SqliteMetadataStore) -> None:
    ids = await open_ids(store)
    first, second = await new_ids(ids, 2)
    assert is_known(ids, first) and is_known(ids, second)
    flipped = [first ^ 1 << bit for bit in range(63)]
    near = [first + 1, first - 1, second + 1, (first >> TAG_BITS) + 2 << TAG_BITS]
    for forged in [*flipped, *near, 0, 1, 5_000, -1, (1 << 63) - 1, -(1 << 63)]:
        assert not is_known(ids, forged)
        if forged >= 0:
            new, epoch = await ids.init_producer(ProducerId(forged), ProducerEpoch(4))
            assert (epoch, is_known(ids, new)) == (0, True), "replaced"


async def test_tags_are_another_secrets(tmp_path: Path) -> None:
    made = []
    for seed in range(2):
        (tmp_path / str(seed)).mkdir()
        store = await open_store(tmp_path / str(seed))
        made.append(await new_ids(await open_ids(store, seed), 100))
        await store.close()
    assert numbers(made[0]) == numbers(made[1])
    assert not set(made[0]) & set(made[1])


async def test_an_epoch_is_raised_until_its_end(store: SqliteMetadataStore) -> None:
    ids = await open_ids(store)
    (mine,) = (ProducerId(each) for each in await new_ids(ids, 1))
    for epoch in range(5):
        assert not is_known(ids, mine, epoch + 1)
        assert await ids.init_producer(mine, ProducerEpoch(epoch)) == (mine, epoch + 1)
    last = encode_value(ProducerEpochValue(mine, PRODUCER_EPOCH_MAX))
    await store.transact([], [Put(producer_epoch_key(mine), last)])
    ids = await open_ids(store)
    assert is_known(ids, mine, PRODUCER_EPOCH_MAX) and is_known(ids, mine, 0)
    other, epoch = await ids.init_producer(mine, ProducerEpoch(PRODUCER_EPOCH_MAX))
    assert (other != mine, epoch) == (True, 0)


async def test_an_answer_that_was_lost_is_given_again(store: SqliteMetadataStore) -> None:
    ids = await open_ids(store)
    (mine,) = (ProducerId(each) for each in await new_ids(ids, 1))
    for _ in range(3):
        assert await ids.init_producer(mine, ProducerEpoch(0)) == (mine, 1)


@pytest.mark.parametrize(
    "value", [b'{"next_producer_id":5000}', b'{"next_producer_id":%d}' % 2**63]
)
async def test_a_store_that_gave_out_bare_numbers(store: SqliteMetadataStore, value: bytes) -> None:
    await store.transact([], [Put(PRODUCER_IDS_KEY, value)])
    ids = await open_ids(store)
    assert not is_known(ids, 4_999)
    mine = await new_ids(ids, PRODUCER_IDS_PER_BLOCK + 1)
    assert min(mine) > 1 << TAG_BITS and max(mine) < 1 << 63
    assert await ids.init_producer(ProducerId(4_999), ProducerEpoch(3)) != (4_999, 4)


async def test_where_the_numbers_end_another_secret_begins(store: SqliteMetadataStore) -> None:
    last = b'{"next_producer_id":%d,"secret":"ab"}' % (NUMBER_END - PRODUCER_IDS_PER_BLOCK - 1)
    await store.transact([], [Put(PRODUCER_IDS_KEY, last)])
    ids = await open_ids(store)
    old = await new_ids(ids, PRODUCER_IDS_PER_BLOCK)
    assert max(numbers(old)) == NUMBER_END - 2
    (new,) = await new_ids(ids, 1)
    assert numbers([new]) == [1]
    assert is_known(ids, new) and not is_known(ids, old[0])
    again = await open_ids(store, seed=2)
    assert is_known(again, new) and again.first_id < 1 << 63


@pytest.mark.parametrize(("producer_id", "epoch"), [(-1, 0), (0, -1), (0, PRODUCER_EPOCH_MAX + 1)])
async def test_impossible_numbers_are_refused(
    store: SqliteMetadataStore, producer_id: int, epoch: int
) -> None:
    ids = await open_ids(store)
    with pytest.raises(InvalidConfig):
        await ids.init_producer(ProducerId(producer_id), ProducerEpoch(epoch))


STEPS = st.lists(
    st.one_of(
        st.just("new"),
        st.just("restart"),
        st.tuples(st.just("raise"), st.integers(0, 30), st.integers(0, 5)),
        st.tuples(st.just("forge"), st.integers(0, 30), st.integers(0, 62)),
    ),
    max_size=40,
)


@pytest.mark.slow
@given(steps=STEPS)
@settings(max_examples=40, deadline=None)
def test_known_is_what_was_given_out_and_not_forgotten(steps: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(producer_id_blocks, "RAISED_EPOCHS_MAX", 3)
        patch.setattr(producer_id_blocks, "PRODUCER_IDS_PER_BLOCK", 4)
        asyncio.run(_run(Path(folder), steps))


async def _run(folder: Path, steps: list[object]) -> None:
    """Against a model: the highest epoch given out of each id, and which raised ones are kept."""
    store, seed = await open_store(folder), 0
    ids = await open_ids(store)
    highest: dict[int, int] = {}
    raised: list[int] = []
    for step in steps:
        given_out = list(highest)
        if step == "new":
            (new,) = await new_ids(ids, 1)
            assert new not in highest
            highest[new] = 0
        elif step == "restart":
            await store.close()
            store, seed = await open_store(folder), seed + 1
            ids = await open_ids(store, seed)
            assert all(each < ids.first_id for each in given_out)
        elif isinstance(step, tuple) and given_out:
            kind, index, number = step
            mine = given_out[index % len(given_out)]
            if kind == "forge":
                assert not is_known(ids, mine ^ 1 << number)
                continue
            answer = await ids.init_producer(ProducerId(mine), ProducerEpoch(number))
            if number > highest[mine]:
                assert answer[0] not in highest and answer[1] == 0
                highest[answer[0]] = 0
                continue
            assert answer == (mine, number + 1)
            if number + 1 > highest[mine]:
                highest[mine] = number + 1
                raised = [each for each in raised if each != mine] + [mine]
                for forgotten in raised[:-3]:
                    highest[forgotten] = 0
                raised = raised[-3:]
        for each, epoch in highest.items():
            assert is_known(ids, each, epoch) and not is_known(ids, each, epoch + 1)
    await store.close()
