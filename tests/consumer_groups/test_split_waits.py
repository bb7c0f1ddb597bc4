from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd.model.key_ranges import KeyRange
from logd.model.topic import SPLIT_UNSETTLED, PartitionSpec, Topic
from logd.model.topic_config import TopicConfig
from logd_consumer_groups.core.split_waits import SplitWaits

ID = TopicId(bytes(16))


def at(number: int) -> TopicPartition:
    return TopicPartition(ID, PartitionId(number))


def waits(*splits: tuple[int, int | None]) -> SplitWaits:
    """Of partition 0, and one more for each (parent, split_at)."""
    everything = KeyRange(0, 1 << 32)
    children = tuple(
        PartitionSpec(
            everything,
            parents=(PartitionId(parent),),
            split_at=None if offset is None else Offset(offset),
        )
        for parent, offset in splits
    )
    made = SplitWaits()
    made.topics_changed([Topic(ID, "t", (PartitionSpec(everything), *children), TopicConfig())])
    return made


def waiting(of: SplitWaits, done: dict[int, int], *owned: int, rewound: bool = False) -> list[int]:
    of.look(
        [at(number) for number in owned],
        lambda where: Offset(done.get(where.partition, 0)),
        rewound=rewound,
    )
    return sorted(where.partition for where in of.waiting)


def test_a_child_waits_until_its_parent_is_done() -> None:
    split = waits((0, 5))
    assert waiting(split, {}) == [1] and split.report_at(at(0)) == 5
    assert waiting(split, {0: 4}) == [1]
    assert waiting(split, {0: 5}) == [] and split.report_at(at(0)) is None


def test_what_is_not_settled_waits_and_what_was_never_noted_does_not() -> None:
    unsettled = waits((0, SPLIT_UNSETTLED))
    assert waiting(unsettled, {0: 1 << 40}) == [1] and unsettled.report_at(at(0)) is None
    assert waiting(waits((0, None)), {}) == []
    assert waiting(waits((0, 0)), {}) == []


def test_a_child_of_a_child_waits_for_both() -> None:
    split = waits((0, 5), (1, 0))
    assert waiting(split, {}) == [1, 2]
    assert waiting(split, {0: 5}) == []


def test_the_first_to_come_is_reported_first() -> None:
    split = waits((0, 9), (0, 5))
    assert waiting(split, {}) == [1, 2] and split.report_at(at(0)) == 5
    assert waiting(split, {0: 5}) == [1] and split.report_at(at(0)) == 9


def test_who_owns_it_keeps_it_but_for_a_rewind() -> None:
    split = waits((0, 5))
    assert waiting(split, {0: 5}) == []
    assert waiting(split, {0: 2}, 1) == [], "its owner goes on, whatever becomes of the parent"
    assert waiting(split, {0: 2}, 1, rewound=True) == [1]
    assert waiting(split, {0: 2}, 1) == [1], "until it is given up, and after"
    assert waiting(split, {0: 5}, 1) == []
