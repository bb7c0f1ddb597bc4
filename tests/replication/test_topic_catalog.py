import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harness.manual_clock import ManualClock
from harness.open_store import crash_store, open_store
from logd.broker.ports import Topics
from logd.model.errors import (
    Conflict,
    InvalidConfig,
    InvalidName,
    LeaderNotAvailable,
    LogReadOnly,
    Overloaded,
    TopicExists,
    UnknownTopic,
)
from logd.model.ids import BrokerId, Offset, TopicId, TopicPartition
from logd.model.key_ranges import even_ranges, halve_widest
from logd.model.seams import MetadataStore, Put
from logd.model.topic import SPLIT_UNSETTLED, Topic, TopicState
from logd.sim.seeded_random import SeededRandom
from logd.system.background_tasks import BackgroundTasks
from logd_replication import topic_catalog
from logd_replication.metadata_schema import encode_topic, topic_key
from logd_replication.sqlite_metadata_store import SqliteMetadataStore
from logd_replication.topic_catalog import TopicCatalog


class FakeFiles:
    """Implements `TopicFiles`: notes what was removed, waits or fails when told to."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.error: Exception | None = None
        self.ends: dict[int, Offset] = {}

    async def remove(self, topic: Topic) -> None:
        assert topic.state is TopicState.DELETING
        await self.may_go_on.wait()
        if self.error is not None:
            raise self.error
        self.removed.append(topic.name)

    async def log_end(self, topic_partition: TopicPartition) -> Offset:
        if self.error is not None:
            raise self.error
        return self.ends.get(topic_partition.partition, Offset(0))


@pytest.fixture
def files() -> FakeFiles:
    return FakeFiles()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteMetadataStore]:
    store = await open_store(tmp_path)
    yield store
    await store.close()


async def loaded(store: MetadataStore, files: FakeFiles, seed: int = 0) -> TopicCatalog:
    clock = ManualClock()
    catalog = TopicCatalog(store, SeededRandom(seed), clock, BackgroundTasks(clock))
    await catalog.load(files)
    return catalog


@pytest.fixture
async def catalog(store: SqliteMetadataStore, files: FakeFiles) -> TopicCatalog:
    return await loaded(store, files)


async def test_a_topic_is_found_by_name_and_id_now_and_after_a_crash(
    catalog: TopicCatalog, files: FakeFiles, tmp_path: Path
) -> None:
    topics: Topics = catalog
    made = await topics.create("orders", 6, {"retention_ms": "1h"})
    assert len(made.topic_id) == 16 and made.revision > 0
    assert [spec.key_range for spec in made.partitions] == even_ranges(6)
    assert made.config.retention_ms == 3_600_000
    assert made.created_ms == ManualClock().wall_ms()
    assert topics.by_id(made.topic_id) is topics.by_name("orders") is made

    store = await open_store(crash_store(tmp_path, tmp_path / "left"))
    again = await loaded(store, files)
    assert again.by_name("orders") == again.by_id(made.topic_id) == made
    await store.close()


async def test_all_topics_are_sorted_by_name(catalog: TopicCatalog) -> None:
    for name in ["b", "a", "C"]:
        await catalog.create(name, 1, {})
    await catalog.create("__offsets", 1, {}, internal=True)
    assert [topic.name for topic in catalog.all()] == ["C", "__offsets", "a", "b"]
    await catalog.delete(catalog.by_name("a").topic_id)
    assert [topic.name for topic in catalog.all()] == ["C", "__offsets", "b"]


async def test_names_that_differ_only_in_case_are_refused(catalog: TopicCatalog) -> None:
    await catalog.create("Orders", 1, {})
    with pytest.raises(TopicExists, match="'Orders' exists, and 'orders' differs"):
        await catalog.create("orders", 1, {})
    with pytest.raises(TopicExists, match=r"'Orders' exists$"):
        await catalog.create("Orders", 1, {}, validate_only=True)
    with pytest.raises(UnknownTopic, match="did you mean 'Orders'"):
        catalog.by_name("orders")


async def test_an_unknown_name_has_a_hint(catalog: TopicCatalog) -> None:
    await catalog.create("payments", 1, {})
    await catalog.create("__paymnets", 1, {}, internal=True)
    with pytest.raises(UnknownTopic, match="'paymnets' does not exist; did you mean 'payments'"):
        catalog.by_name("paymnets")
    with pytest.raises(UnknownTopic, match=r"'xyz' does not exist$"):
        catalog.by_name("xyz")
    with pytest.raises(UnknownTopic, match="0101"):
        catalog.by_id(TopicId(b"\1" * 16))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "ü", "a" * 250, "__mine"])
async def test_bad_names_are_refused(catalog: TopicCatalog, name: str) -> None:
    with pytest.raises(InvalidName):
        await catalog.create(name, 1, {})


async def test_bad_settings_are_refused(catalog: TopicCatalog) -> None:
    for count in (0, 10_001):
        with pytest.raises(InvalidConfig, match="1 to 10000"):
            await catalog.create("a", count, {})
    with pytest.raises(InvalidConfig, match="did you mean 'retention_ms'"):
        await catalog.create("a", 1, {"retention_m": "1h"})
    with pytest.raises(InvalidConfig, match="needs 2 brokers; this cluster has 1"):
        await catalog.create("a", 1, {}, replication_factor=2)
    with pytest.raises(InvalidConfig, match="min_insync_replicas is 2"):
        await catalog.create("a", 1, {"min_insync_replicas": "2"})
    assert catalog.all() == ()


async def test_validate_only_changes_nothing(catalog: TopicCatalog, files: FakeFiles) -> None:
    planned = await catalog.create("a", 3, {}, validate_only=True)
    assert planned.topic_id == b"" and len(planned.partitions) == 3
    made = await catalog.create("a", 3, {})
    altered = await catalog.alter(made.topic_id, {"retention_ms": "1000"}, validate_only=True)
    assert altered.config.retention_ms == 1000
    split, share = await catalog.add_partitions(made.topic_id, 4, validate_only=True)
    assert len(split.partitions) == 4 and 0 < share < 1
    assert await catalog.delete(made.topic_id, validate_only=True) == made
    assert catalog.by_name("a") == made
    assert not files.removed


async def test_of_concurrent_creates_one_wins(store: SqliteMetadataStore, files: FakeFiles) -> None:
    catalogs = [await loaded(store, files, seed) for seed in range(3)]
    outcomes = await asyncio.gather(
        *(c.create(name, 1, {}) for name in ("orders", "ORDERS") for c in catalogs),
        return_exceptions=True,
    )
    made = [outcome for outcome in outcomes if isinstance(outcome, Topic)]
    assert len(made) == 1
    assert sum(isinstance(outcome, TopicExists) for outcome in outcomes) == 5
    assert (await loaded(store, files)).all() == tuple(made)


async def test_settings_change_and_the_rest_stays(catalog: TopicCatalog) -> None:
    made = await catalog.create("a", 2, {"retention_ms": "1h", "durability": "page_cache"})
    altered = await catalog.alter(made.topic_id, {"retention_ms": "2h"})
    assert altered.config.retention_ms == 7_200_000
    assert altered.config.durability == "page_cache"
    assert altered.revision > made.revision
    with pytest.raises(InvalidConfig):
        await catalog.alter(made.topic_id, {"min_insync_replicas": "2"})
    assert catalog.by_id(made.topic_id) is altered


async def test_concurrent_changes_of_one_topic_all_apply(catalog: TopicCatalog) -> None:
    made = await catalog.create("a", 1, {})
    await asyncio.gather(
        catalog.alter(made.topic_id, {"retention_ms": "1h"}),
        catalog.add_partitions(made.topic_id, 2),
        catalog.alter(made.topic_id, {"segment_bytes": "1MiB"}),
    )
    found = catalog.by_name("a")
    assert (found.config.retention_ms, found.config.segment_bytes) == (3_600_000, 1 << 20)
    assert len(found.partitions) == 2


async def test_a_change_by_another_broker_is_a_conflict(
    catalog: TopicCatalog, store: SqliteMetadataStore
) -> None:
    made = await catalog.create("a", 1, {})
    await store.transact((), [Put(topic_key(made.topic_id), encode_topic(made))])
    with pytest.raises(Conflict, match="'a'"):
        await catalog.alter(made.topic_id, {"retention_ms": "1h"})
    assert catalog.by_name("a") is made


async def test_added_partitions_halve_the_widest(
    catalog: TopicCatalog, store: SqliteMetadataStore, files: FakeFiles
) -> None:
    made = await catalog.create("a", 6, {})
    grown, share = await catalog.add_partitions(made.topic_id, 8)
    expected = halve_widest(even_ranges(6), 8)
    assert [spec.key_range for spec in grown.partitions] == list(expected.ranges)
    assert [spec.parents for spec in grown.partitions] == list(expected.parents)
    assert share == expected.moved_share
    assert (made.partitioning_epoch, grown.partitioning_epoch) == (0, 1)
    assert (await loaded(store, files)).all() == (grown,)
    for total in (8, 7):
        with pytest.raises(InvalidConfig, match="only ever added"):
            await catalog.add_partitions(made.topic_id, total)
    with pytest.raises(InvalidConfig, match="10000"):
        await catalog.add_partitions(made.topic_id, 10_001)


async def test_a_split_notes_where_the_parents_ended(
    catalog: TopicCatalog, store: SqliteMetadataStore, files: FakeFiles
) -> None:
    made = await catalog.create("a", 1, {})
    heard: list[Topic] = []
    catalog.on_changed(heard.append)
    files.ends = {0: Offset(40)}
    grown, _ = await catalog.add_partitions(made.topic_id, 2)
    assert [spec.split_at for spec in grown.partitions] == [None, 40]
    unsettled = heard[0].partitions[1].split_at
    assert unsettled == SPLIT_UNSETTLED, "the parent is asked once nothing old comes to it"
    assert heard[1:] == [grown] and (await loaded(store, files)).all() == (grown,)


async def test_a_split_that_was_interrupted_is_settled_later(
    catalog: TopicCatalog, store: SqliteMetadataStore, files: FakeFiles
) -> None:
    made = await catalog.create("a", 1, {})
    files.error = LeaderNotAvailable("away")
    grown, _ = await catalog.add_partitions(made.topic_id, 2)
    assert grown.partitions[1].split_at == SPLIT_UNSETTLED
    again = await loaded(store, files)
    files.error, files.ends = None, {0: Offset(41)}
    settled = await again.settle_splits(made.topic_id)
    assert settled.partitions[1].split_at == 41
    assert await again.settle_splits(made.topic_id) is settled, "nothing is written twice"


async def test_internal_topics_stay_as_they_are(catalog: TopicCatalog) -> None:
    made = await catalog.create("__offsets", 4, {}, internal=True)
    with pytest.raises(InvalidConfig, match="cannot be deleted"):
        await catalog.delete(made.topic_id)
    with pytest.raises(InvalidConfig, match="keeps its number"):
        await catalog.add_partitions(made.topic_id, 8)


async def test_the_name_is_taken_until_the_files_are_gone(
    catalog: TopicCatalog, files: FakeFiles
) -> None:
    made = await catalog.create("a", 1, {})
    files.may_go_on.clear()
    deletion = asyncio.ensure_future(catalog.delete(made.topic_id))
    while catalog.all():
        await asyncio.sleep(0)
    with pytest.raises(UnknownTopic):
        catalog.by_id(made.topic_id)
    with pytest.raises(UnknownTopic):
        catalog.by_name("a")
    with pytest.raises(TopicExists, match="is being deleted"):
        await catalog.create("a", 1, {})
    files.may_go_on.set()
    assert (await deletion).topic_id == made.topic_id
    assert files.removed == ["a"]
    again = await catalog.create("a", 1, {})
    assert again.topic_id != made.topic_id
    with pytest.raises(UnknownTopic):
        await catalog.delete(made.topic_id)


async def test_deletes_at_once_remove_once_and_outlive_their_callers(
    catalog: TopicCatalog, files: FakeFiles
) -> None:
    made = await catalog.create("a", 1, {})
    files.may_go_on.clear()
    deletions = [asyncio.ensure_future(catalog.delete(made.topic_id)) for _ in range(3)]
    while catalog.all():
        await asyncio.sleep(0)
    deletions[0].cancel()
    files.may_go_on.set()
    await asyncio.gather(*deletions[1:])
    assert files.removed == ["a"]


async def test_an_interrupted_delete_is_finished_at_load(
    catalog: TopicCatalog, files: FakeFiles, tmp_path: Path
) -> None:
    doomed = await catalog.create("doomed", 1, {})
    kept = await catalog.create("kept", 1, {})
    files.may_go_on.clear()
    deletion = asyncio.ensure_future(catalog.delete(doomed.topic_id))
    while len(catalog.all()) == 2:
        await asyncio.sleep(0)
    store = await open_store(crash_store(tmp_path, tmp_path / "left"))
    after_crash = FakeFiles()
    again = await loaded(store, after_crash)
    assert after_crash.removed == ["doomed"]
    assert again.all() == (kept,)
    await again.create("doomed", 1, {})
    await store.close()
    files.may_go_on.set()
    await deletion


async def test_a_delete_that_fails_can_be_tried_again(
    catalog: TopicCatalog, files: FakeFiles, store: SqliteMetadataStore
) -> None:
    made = await catalog.create("a", 1, {})
    files.error = LogReadOnly("the disk failed")
    with pytest.raises(LogReadOnly):
        await catalog.delete(made.topic_id)
    assert (await loaded(store, files)).all() == ()
    files.error = None
    await catalog.delete(made.topic_id)
    assert files.removed == ["a"]
    await catalog.create("a", 1, {})


async def test_listeners_hear_of_every_change(catalog: TopicCatalog) -> None:
    heard: list[tuple[str, int, TopicState]] = []
    catalog.on_changed(lambda t: heard.append((t.name, len(t.partitions), t.state)))
    made = await catalog.create("a", 1, {})
    await catalog.alter(made.topic_id, {"retention_ms": "1h"})
    await catalog.add_partitions(made.topic_id, 2)
    await catalog.delete(made.topic_id)
    ready, deleting = TopicState.READY, TopicState.DELETING
    assert heard == [
        ("a", 1, ready),
        ("a", 1, ready),
        *[("a", 2, ready)] * 2,  # the split, and where it begins
        ("a", 2, deleting),
    ]


async def test_replicas_go_to_the_first_brokers(
    store: SqliteMetadataStore, files: FakeFiles
) -> None:
    brokers = [BrokerId(4), BrokerId(7)]
    clock = ManualClock()
    catalog = TopicCatalog(store, SeededRandom(), clock, BackgroundTasks(clock), brokers)
    await catalog.load(files)
    made = await catalog.create("a", 2, {"min_insync_replicas": "2"}, replication_factor=2)
    assert [spec.replicas for spec in made.partitions] == [(4, 7), (4, 7)]


async def test_the_largest_topic_can_be_made_and_split(catalog: TopicCatalog) -> None:
    made = await catalog.create("large", 9_999, {})
    grown, _ = await catalog.add_partitions(made.topic_id, 10_000)
    assert len(grown.partitions) == 10_000


async def test_all_partitions_together_are_bounded(
    catalog: TopicCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_catalog, "PARTITIONS_MAX", 10)
    first = await catalog.create("first", 6, {})
    await catalog.create("second", 3, {})
    for too_many in (
        lambda: catalog.create("third", 2, {}),
        lambda: catalog.create("third", 2, {}, validate_only=True),
        lambda: catalog.add_partitions(first.topic_id, 8),
    ):
        with pytest.raises(Overloaded) as refused:
            await too_many()
        assert refused.value.details["limit"] == "partitions_max"
    await catalog.add_partitions(first.topic_id, 7)
    await catalog.delete(first.topic_id)
    await catalog.create("third", 7, {})
