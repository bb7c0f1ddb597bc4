"""Who runs, as far as commits and fetches tell."""

import pytest

from logd.model.group import CONSUMER_SEEN_MS, Consumer
from logd.model.ids import PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core import consumers_seen
from logd_consumer_groups.core.consumers_seen import CONSUMERS_PER_GROUP_MAX, ConsumersSeen

A, B, C = (TopicPartition(TopicId(b"t" * 16), PartitionId(n)) for n in range(3))


def saw(
    seen: ConsumersSeen, name: str, *where: TopicPartition, now_ms: int = 0, fetch: bool = False
) -> str:
    return seen.saw(
        "g", Consumer(name, "peer"), where, now_ms=now_ms, wall_ms=7, takes_only_these=fetch
    )


def test_two_consumers_of_one_partition_are_told_of_each_other() -> None:
    seen = ConsumersSeen()
    assert saw(seen, "one", A, B) == ""
    assert saw(seen, "two", C) == ""
    assert saw(seen, "two", B) == "", "not yet: one may have ended before two came"
    assert saw(seen, "one") == "two"
    assert saw(seen, "two") == "one"


def test_who_was_killed_is_no_other_to_the_one_in_its_place() -> None:
    seen = ConsumersSeen()
    saw(seen, "killed", A)
    saw(seen, "killed", A, now_ms=1)
    for now_ms in range(2, CONSUMER_SEEN_MS, 5000):
        assert saw(seen, "again", A, now_ms=now_ms) == ""


def test_a_fetch_of_offsets_says_all_that_a_consumer_takes() -> None:
    seen = ConsumersSeen()
    saw(seen, "one", A, B)
    saw(seen, "one", A, fetch=True)
    assert saw(seen, "two", B) == ""
    assert seen.running("g", 0)[0].partitions == (A,)


def test_consumers_are_forgotten_after_a_while() -> None:
    seen = ConsumersSeen()
    saw(seen, "one", A)
    saw(seen, "two", A, now_ms=1)
    assert [c.consumer_id for c in seen.running("g", CONSUMER_SEEN_MS - 1)] == ["one", "two"]
    assert [c.consumer_id for c in seen.running("g", CONSUMER_SEEN_MS)] == ["two"]
    assert seen.groups(CONSUMER_SEEN_MS) == ["g"]
    assert seen.groups(CONSUMER_SEEN_MS + 1) == []
    assert seen.running("g", 0) == []


def test_who_has_no_name_only_looks() -> None:
    seen = ConsumersSeen()
    assert saw(seen, "", A) == ""
    assert seen.groups(0) == []


def test_the_number_of_consumers_is_bounded() -> None:
    seen = ConsumersSeen()
    for number in range(CONSUMERS_PER_GROUP_MAX + 1):
        saw(seen, f"c{number}", now_ms=number)
    saw(seen, "c1", now_ms=5000)
    saw(seen, "new", now_ms=5000)
    names = {consumer.consumer_id for consumer in seen.running("g", 5000)}
    assert len(names) == CONSUMERS_PER_GROUP_MAX
    assert {"c1", "new"} <= names and not {"c0", "c2"} & names


def saw_in(seen: ConsumersSeen, group: str, *where: TopicPartition, now_ms: int) -> None:
    consumer = Consumer("c", "peer")
    seen.saw(group, consumer, where, now_ms=now_ms, wall_ms=7, takes_only_these=True)


def test_groups_that_never_come_back_are_forgotten() -> None:
    seen = ConsumersSeen()
    for number in range(10):
        saw_in(seen, f"g{number}", A, B, now_ms=number)
    saw_in(seen, "another", A, now_ms=CONSUMER_SEEN_MS + 8)
    assert sorted(seen._groups) == ["another", "g9"], "though nobody asked about them"
    assert sorted(seen._order) == [("another", "c"), ("g9", "c")]
    assert seen._size == 2 + 3
    assert seen.groups(3 * CONSUMER_SEEN_MS) == []
    assert (seen._groups, seen._order, seen._size) == ({}, {}, 0)


def test_all_that_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers_seen, "SEEN_MAX", 9)
    seen = ConsumersSeen()
    for name in ("g0", "g1", "g2"):
        saw_in(seen, name, A, B, now_ms=1)
    saw_in(seen, "g0", A, now_ms=2)
    assert seen.groups(2) == ["g0", "g1", "g2"]
    saw_in(seen, "g3", A, B, now_ms=3)
    assert seen.groups(3) == ["g0", "g2", "g3"], "g1 was unseen for longest"
    many = [TopicPartition(A.topic_id, PartitionId(n)) for n in range(9)]
    saw_in(seen, "g4", *many, now_ms=4)
    assert (seen.groups(4), seen._size) == ([], 0), "what does not fit at all is not remembered"


def test_who_says_goodbye_leaves_nothing_behind() -> None:
    seen = ConsumersSeen()
    saw(seen, "one", A, B)
    seen.left("g", Consumer("one", "peer"))
    seen.left("g", Consumer("one", "peer"))
    assert (seen._groups, seen._order, seen._size) == ({}, {}, 0)
