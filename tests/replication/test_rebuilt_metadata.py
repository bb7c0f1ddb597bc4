from logd.model.ids import BrokerId, TopicId
from logd.model.key_ranges import even_ranges
from logd.model.seams import Put
from logd.model.topic import PartitionSpec, Topic
from logd.model.topic_config import TopicConfig
from logd_replication.metadata_schema import ClusterValue, topic_key, topic_name_key
from logd_replication.rebuilt_metadata import rebuild_metadata
from logd_replication.sqlite_database import SqliteDatabase

CLUSTER = ClusterValue("c-1", 5)


def topic(number: int, revision: int) -> Topic:
    specs = tuple(PartitionSpec(key_range) for key_range in even_ranges(2))
    topic_id = TopicId(number.to_bytes(16, "big"))
    return Topic(topic_id, f"Topic-{number}", specs, TopicConfig(), revision=revision)


def test_numbers_lie_above_all_that_was_seen_and_revisions_go_on() -> None:
    topics = [topic(1, 7), topic(2, 30)]
    made = rebuild_metadata(CLUSTER, BrokerId(3), topics, highest_leader_epoch=12)
    assert made.revision == 30
    assert made.broker_epoch > 12
    assert [put.key for put in made.entries] == [
        "cluster",
        "broker-epochs/3",
        *(key for t in topics for key in (topic_key(t.topic_id), topic_name_key(t.name))),
    ]


def test_nothing_was_ever_appended() -> None:
    made = rebuild_metadata(CLUSTER, BrokerId(0), [], highest_leader_epoch=-1)
    assert (made.revision, len(made.entries)) == (0, 2)
    assert made.broker_epoch > 0


def test_a_filled_store_goes_on_behind_its_revision() -> None:
    database = SqliteDatabase(":memory:")
    database.fill(30, [Put("a", b"1"), Put("b", b"2")])
    entries, revision = database.range("")
    assert ([entry.key for entry in entries], revision) == (["a", "b"], 31)
    assert {entry.revision for entry in entries} == {31}
    assert database.apply((), [Put("a", b"3")])[0] == 32
    assert [event.key for event in database.changes_after("", 31)[0]] == ["a"]
