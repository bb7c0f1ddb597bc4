from logd.model.ids import Offset, PartitionId, TopicId
from logd.model.key_ranges import even_ranges
from logd.model.topic import SPLIT_UNSETTLED, PartitionSpec, Topic
from logd.model.topic_config import TopicConfig
from logd_replication.core.partition_splits import parents_to_ask, settled, split


def topic(partitions: int) -> Topic:
    specs = tuple(map(PartitionSpec, even_ranges(partitions)))
    return Topic(TopicId(bytes(16)), "t", specs, TopicConfig())


def split_ats(found: Topic) -> list[Offset | None]:
    return [spec.split_at for spec in found.partitions]


def ends(**known: int) -> dict[PartitionId, Offset | None]:
    return {PartitionId(int(number[1:])): Offset(end) for number, end in known.items()}


def test_a_child_begins_where_its_parent_ends() -> None:
    grown, _ = split(topic(2), 4)
    assert split_ats(grown) == [None, None, SPLIT_UNSETTLED, SPLIT_UNSETTLED]
    assert parents_to_ask(grown) == [0, 1]
    assert split_ats(settled(grown, ends(p0=7, p1=9))) == [None, None, 7, 9]


def test_a_parent_that_is_as_new_is_empty() -> None:
    grown, _ = split(topic(1), 4)
    assert [spec.parents for spec in grown.partitions] == [(), (0,), (0,), (1,)]
    assert parents_to_ask(grown) == [0]
    assert split_ats(settled(grown, ends(p0=7))) == [None, 7, 7, 0]


def test_who_cannot_be_asked_leaves_its_children_unsettled() -> None:
    grown, _ = split(topic(2), 4)
    half = settled(grown, {**ends(p0=7), PartitionId(1): None})
    assert split_ats(half) == [None, None, 7, SPLIT_UNSETTLED]
    assert parents_to_ask(half) == [1]
    assert split_ats(settled(half, ends(p1=12))) == [None, None, 7, 12]


def test_what_is_settled_stays_at_the_next_split() -> None:
    first = settled(split(topic(1), 2)[0], ends(p0=3))
    again, _ = split(first, 4)
    assert split_ats(again)[:2] == [None, 3]
    assert parents_to_ask(again) == [0, 1]
    assert split_ats(settled(again, ends(p0=8, p1=5))) == [None, 3, 8, 5]
