"""What every assignor promises, and what each adds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.ids import PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.assignors import (
    ASSIGNORS,
    Assignment,
    Assignor,
    Racks,
    RangeAssignor,
    Subscriber,
    UniformAssignor,
)

TOPICS = [TopicId(bytes([number]) * 16) for number in range(4)]
Partitions = Mapping[TopicPartition, Racks]


def partitions_of(*counts: int, racks: Racks = frozenset()) -> dict[TopicPartition, Racks]:
    return {
        TopicPartition(topic_id, PartitionId(number)): racks
        for topic_id, count in zip(TOPICS, counts, strict=False)
        for number in range(count)
    }


def with_owned(members: Sequence[Subscriber], assignment: Assignment) -> list[Subscriber]:
    return [m._replace(owned=assignment.get(m.member_id, frozenset())) for m in members]


@st.composite
def groups(draw: st.DrawFn, *, equal: bool = False) -> tuple[list[Subscriber], Partitions]:
    """Members and partitions; what is owned may be gone, no longer wanted or another's, too."""
    partitions = partitions_of(*draw(st.lists(st.integers(0, 9), min_size=1, max_size=4)))
    racks = st.sampled_from(["", "a", "b"])
    where = {each: frozenset({draw(racks)}) - {""} for each in partitions}
    wanted = st.frozensets(st.sampled_from(TOPICS), min_size=1)
    all_want = draw(wanted)
    ids = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True))
    known = [*partitions, TopicPartition(TOPICS[0], PartitionId(99))]
    owners = {each: draw(st.sampled_from([*ids, *ids, ""])) for each in known}
    members = [
        Subscriber(
            member_id,
            all_want if equal else draw(wanted),
            frozenset(each for each, owner in owners.items() if owner == member_id),
            draw(racks),
        )
        for member_id in ids
    ]
    return members, where


@pytest.mark.parametrize("assignor", ASSIGNORS.values(), ids=ASSIGNORS)
@given(group=groups(), data=st.data())
def test_every_partition_has_one_owner_who_wants_it(
    assignor: Assignor, group: tuple[list[Subscriber], Partitions], data: st.DataObject
) -> None:
    members, partitions = group
    given_to = assignor.assign(members, partitions)
    topics = {member.member_id: member.topics for member in members}
    assert given_to.keys() == topics.keys()
    owners = Counter(each for owned in given_to.values() for each in owned)
    wanted = frozenset[TopicId]().union(*topics.values())
    assert owners == Counter(each for each in partitions if each.topic_id in wanted)
    for member_id, owned in given_to.items():
        assert {each.topic_id for each in owned} <= topics[member_id]
    shuffled = data.draw(st.permutations(members))
    backwards = dict(reversed(list(partitions.items())))
    assert assignor.assign(shuffled, backwards) == given_to, "the order of what is given counts"
    again = with_owned(members, given_to)
    assert assignor.assign(again, partitions) == given_to, "what is settled moves"


@given(group=groups())
def test_uniform_is_as_even_as_subscriptions_allow(
    group: tuple[list[Subscriber], Partitions],
) -> None:
    members, partitions = group
    given_to = UniformAssignor().assign(members, partitions)
    counts = {member_id: len(owned) for member_id, owned in given_to.items()}
    gives = {
        member.member_id: {
            other.member_id
            for other in members
            if {each.topic_id for each in given_to[member.member_id]} & other.topics
        }
        for member in members
    }
    for giver in gives:
        reached = {giver}
        for _ in members:
            reached |= {taker for each in reached for taker in gives[each]}
        assert all(counts[taker] >= counts[giver] - 1 for taker in reached), counts


@given(group=groups(equal=True))
def test_uniform_moves_the_fewest_where_subscriptions_are_equal(
    group: tuple[list[Subscriber], Partitions],
) -> None:
    members, partitions = group
    given_to = UniformAssignor().assign(members, partitions)
    wanted = {each for each in partitions if each.topic_id in members[0].topics}
    before = sorted((len(member.owned & wanted) for member in members), reverse=True)
    quota, more = divmod(len(wanted), len(members))
    most = sum(min(count, quota + (index < more)) for index, count in enumerate(before))
    assert sum(len(given_to[m.member_id] & m.owned) for m in members) == most


def test_uniform_moves_only_what_a_member_that_comes_or_goes_makes_it() -> None:
    partitions = partitions_of(8)
    members = [Subscriber(name, frozenset(TOPICS[:1])) for name in "abcd"]
    first = UniformAssignor().assign(members, partitions)
    assert sorted(map(len, first.values())) == [2, 2, 2, 2]
    left = with_owned(members[:3], first)
    second = UniformAssignor().assign(left, partitions)
    assert all(first[m.member_id] <= second[m.member_id] for m in left)
    came = with_owned([*members[:3], Subscriber("e", frozenset(TOPICS[:1]))], second)
    third = UniformAssignor().assign(came, partitions)
    assert len(third["e"]) == 2 and all(third[name] <= second[name] for name in "abc")


def test_uniform_prefers_the_rack_among_those_who_have_as_few() -> None:
    near, far = frozenset({"a"}), frozenset({"b"})
    partitions = {
        TopicPartition(TOPICS[0], PartitionId(number)): near if number < 4 else far
        for number in range(8)
    }
    wants = frozenset(TOPICS[:1])
    members = [Subscriber(f"{rack}{n}", wants, rack=rack) for rack, n in product("ab", "12")]
    given_to = UniformAssignor().assign(members, partitions)
    for member in members:
        owned = given_to[member.member_id]
        assert len(owned) == 2 and all(partitions[each] == {member.rack} for each in owned)


def test_range_gives_the_same_numbers_of_equal_topics() -> None:
    members = [Subscriber(name, frozenset(TOPICS[:2])) for name in "abc"]
    given_to = RangeAssignor().assign(members, partitions_of(7, 7))
    numbers = {
        name: [sorted(p.partition for p in owned if p.topic_id == topic) for topic in TOPICS[:2]]
        for name, owned in given_to.items()
    }
    assert numbers == {"a": [[0, 1]] * 2, "b": [[2, 3]] * 2, "c": [[4, 5, 6]] * 2}


def test_uniform_gives_away_what_a_member_did_not_have_before() -> None:
    """`a` is given two more, one of them of a topic that only `a` wants: that is one too many."""
    partitions = partitions_of(3, 1)
    kept = TopicPartition(TOPICS[0], PartitionId(1))
    members = [
        Subscriber("a", frozenset(TOPICS[:2]), frozenset({kept})),
        Subscriber("b", frozenset(TOPICS[:1])),
    ]
    given_to = UniformAssignor().assign(members, partitions)
    assert kept in given_to["a"] and list(map(len, given_to.values())) == [2, 2]
