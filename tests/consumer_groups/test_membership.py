"""Members that come, go, die, stand still and lose messages: who owns what in between and after."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from harness.member_world import REVOCATION_MS, SESSION_MS, MemberClient, MemberWorld
from logd.model.errors import FencedMember
from logd.model.group import CommitRequest, Consumer
from logd.model.ids import TopicPartition
from logd_consumer_groups.core.group_state import GroupState
from logd_consumer_groups.core.membership import (
    BROKEN_SESSION_MS,
    LARGE_GROUP,
    Settle,
)
from logd_consumer_groups.core.offset_commits import check_owner
from logd_consumer_groups.core.offset_records import OffsetRecord

ALL = ("t",)
SPLIT_AT_MAX = 9


def world(partitions: int = 4) -> MemberWorld:
    made = MemberWorld()
    made.topics.put("t", partitions)
    return made


def join(
    group: MemberWorld, name: str, topics: tuple[str, ...] = ALL, instance_id: str = ""
) -> MemberClient:
    member = group.members[name] = MemberClient(name, topics, instance_id)
    group.say(member, first=True)
    group.hear(member)
    return member


def owned(group: MemberWorld) -> dict[str, int]:
    return {name: len(group.group.table.owned.get(name, ())) for name in group.members}


def partition(group: MemberWorld, number: int = 0) -> TopicPartition:
    return sorted(group.topics.partitions(ALL))[number]


def test_the_first_answer_has_all() -> None:
    group = world()
    assert len(join(group, "a").held) == 4


def test_only_what_changes_hands_is_given_up() -> None:
    group = world()
    a = join(group, "a")
    before = dict(a.held)
    b = join(group, "b")
    assert not b.held
    group.hear(a)
    assert len(a.held) == 2 and a.held.items() <= before.items()
    assert not group.group.table.owned.get("b"), "nothing is granted that somebody owns"
    group.say(a)
    group.hear(b)
    assert len(b.held) == 2
    group.come_to_rest()
    assert owned(group) == {"a": 2, "b": 2}
    assert a.held.items() <= before.items(), "what stayed was never touched"


def test_the_last_commit_is_where_the_next_owner_begins() -> None:
    group = world(1)
    a = join(group, "a")
    a.positions[partition(group)] = 7
    group.say(a, leaving=True)  # what it has read is not told by itself
    b = join(group, "b")
    assert b.positions == {partition(group): 0}
    group.come_to_rest()
    b.positions[partition(group)] = 9
    b.held.clear()
    group.say(b, leaving=True)
    assert join(group, "c").positions == {partition(group): 9}


def test_a_broken_session_has_a_moment_to_come_back() -> None:
    group = world()
    a = join(group, "a")
    b = join(group, "b")
    group.come_to_rest()
    held = dict(a.held)
    group.break_session(a)
    group.wait(BROKEN_SESSION_MS - 1)
    assert owned(group) == {"a": 2, "b": 2}
    group.say(a, first=True)
    group.hear(a)
    assert a.held == held, "it goes on as if nothing had been"
    group.break_session(a)
    group.wait(BROKEN_SESSION_MS)
    group.hear(b)
    assert len(b.held) == 4


def test_a_static_member_has_its_session_time_and_its_name_moves_to_the_next_process() -> None:
    group = world()
    a = join(group, "a", instance_id="one")
    join(group, "b", instance_id="two")
    group.come_to_rest()
    held = set(a.held)
    group.break_session(a)
    group.wait(SESSION_MS - 1)
    assert owned(group) == {"a": 2, "b": 2}
    records = len(group.log)
    again = join(group, "a2", instance_id="one")
    assert set(again.held) == held, "without a rebalance"
    assert "a" not in group.group.table.members
    assert len(group.log) - records == 4, "join, leave, two owners"


def test_who_does_not_give_up_loses_it_and_is_fenced() -> None:
    group = world(1)
    a = join(group, "a")
    b = join(group, "b", ("t", "u"))
    group.topics.put("u", 3)
    group.run(Settle(topics_changed=True))
    group.hear(b)
    where = partition(group)
    group.break_session(b)
    group.wait(SESSION_MS)
    assert group.commit(a, where, 5)
    a.stalled = True
    group.say(a)
    c = join(group, "c")
    group.wait(REVOCATION_MS - 100)
    group.hear(c)
    assert not c.held
    group.wait(200)
    group.hear(c)
    assert c.positions == {where: 5}
    assert not group.commit(a, where, 6)
    a.held.clear()
    a.stalled = False
    group.say(a)
    group.come_to_rest()
    assert sum(owned(group).values()) == 1


def test_a_zombie_that_gets_its_partition_back_cannot_commit_for_its_past() -> None:
    group = world(1)
    a = join(group, "a")
    epoch_before = a.member_epoch
    group.break_session(a)
    group.wait(BROKEN_SESSION_MS)
    assert "a" not in group.group.table.members
    b = join(group, "b")
    assert group.commit(b, partition(group), 10)
    b.held.clear()
    b.positions.clear()
    group.say(b, leaving=True)
    group.say(a, first=True)
    group.hear(a)
    assert set(a.held) == {partition(group)}
    stale = CommitRequest("g", (), consumer=Consumer("a"), member_epoch=epoch_before)
    with pytest.raises(FencedMember, match="had it in between"):
        check_owner(group.group, partition(group), stale)
    assert group.commit(a, partition(group), 11)


def test_after_a_load_absent_sessions_prove_nothing() -> None:
    group = world()
    a = join(group, "a")
    group.reload()
    group.wait(SESSION_MS - 1)
    held = dict(a.held)
    group.say(a, first=True)
    group.hear(a)
    assert a.held == held
    group.reload()
    group.wait(SESSION_MS)
    assert not group.group.table.members and not group.group.table.owners


def test_partitions_and_topics_that_come_later_are_read_from_their_beginning() -> None:
    group = world(2)
    a = join(group, "a", ("t", "later"))
    table = group.group.table
    assert not any(table.is_younger(where) for where in a.held)
    group.topics.put("t", 3)
    group.topics.put("later", 1)
    group.run(Settle(topics_changed=True))
    group.come_to_rest()
    younger = {where for where in a.held if table.is_younger(where)}
    assert len(a.held) == 4 and len(younger) == 2
    del group.topics.by_name["t"]
    group.run(Settle(topics_changed=True))
    group.come_to_rest()
    assert len(a.held) == 1 and len(table.first_seen) == 1, "what is gone is forgotten"


def test_a_storm_of_members_costs_few_computations(monkeypatch: pytest.MonkeyPatch) -> None:
    group = world(8)
    computed, real = [], group.membership._compute

    def compute(state: GroupState) -> list[OffsetRecord]:
        computed.append(state)
        return real(state)

    monkeypatch.setattr(group.membership, "_compute", compute)
    for number in range(50):
        join(group, f"m{number}")
    group.come_to_rest()
    assert len(computed) <= LARGE_GROUP + 3
    assert sorted(owned(group).values()) == [0] * 42 + [1] * 8


def split_world() -> tuple[MemberWorld, MemberClient, MemberClient]:
    """Two members with a partition each; a third was just split off the second at 5."""
    group = world(2)
    a, b = join(group, "a"), join(group, "b")
    group.come_to_rest()
    group.topics.put("t", 3, split_at=5)
    group.run(Settle(topics_changed=True))
    group.come_to_rest()
    return group, a, b


def owner_of(group: MemberWorld, number: int) -> str | None:
    owner = group.group.table.owners.get(partition(group, number))
    return owner.member_id if owner else None


@pytest.mark.parametrize("commits", [True, False])
def test_a_child_is_granted_once_the_group_is_done_with_what_its_keys_had(commits: bool) -> None:
    group, *members = split_world()
    parent = partition(group, 1)
    reader = next(member for member in members if parent in member.held)
    assert owner_of(group, 2) is None and group.report_at(parent) == 5
    assert not group.membership.is_rebalancing(group.group), "it is no member that it waits for"
    for at in (4, 5):
        assert owner_of(group, 2) is None
        reader.positions[parent] = at
        if commits:
            group.commit(reader, parent, at)
        group.come_to_rest()
    assert owner_of(group, 2) in ("a", "b") and group.report_at(parent) is None


def test_a_child_whose_parent_is_rewound_before_the_split_waits_again() -> None:
    group, a, b = split_world()
    parent, child = partition(group, 1), partition(group, 2)
    reader = a if parent in a.held else b
    reader.positions[parent] = 7
    group.commit(reader, parent, 7)
    group.come_to_rest()
    assert owner_of(group, 2)
    group.rewind({parent: 0, child: 0})
    group.come_to_rest()
    assert owner_of(group, 2) is None and owner_of(group, 1)
    group.say(reader)
    assert owner_of(group, 2) is None, "what it had reached before the rewind counts no more"
    reader.positions[parent] = 5
    group.come_to_rest()
    assert owner_of(group, 2)


class Lives(RuleBasedStateMachine):
    """Anything may happen in any order; commits are taken from one member at a time, and once the
    dust has settled everything is owned, evenly, by who is there."""

    names = st.sampled_from("abcde")

    def __init__(self) -> None:
        super().__init__()
        self.world = world(3)
        self.committed: dict[TopicPartition, int] = {}

    def member(self, name: str) -> MemberClient:
        return self.world.members[name]

    @rule(name=names, both=st.booleans(), static=st.booleans())
    def join(self, name: str, both: bool, static: bool) -> None:
        if name not in self.world.members:
            topics = ("t", "u") if both else ("t",)
            join(self.world, name, topics, name if static else "")

    @rule(name=names)
    def hear(self, name: str) -> None:
        if name in self.world.members:
            self.world.hear(self.member(name))

    @rule(name=names)
    def say(self, name: str) -> None:
        if name in self.world.members:
            self.world.say(self.member(name))

    @rule(name=names)
    def leave(self, name: str) -> None:
        if name in self.world.members:
            self.member(name).held.clear()
            self.world.say(self.world.members.pop(name), leaving=True)

    @rule(name=names, comes_back=st.booleans())
    def breaks(self, name: str, comes_back: bool) -> None:
        if name in self.world.members:
            self.world.break_session(self.member(name))
            if not comes_back:
                del self.world.members[name]

    @rule(name=names, stalled=st.booleans())
    def stalls(self, name: str, stalled: bool) -> None:
        if name in self.world.members:
            self.member(name).stalled = stalled
            self.world.say(self.member(name))

    @rule(name=names, forward=st.integers(1, 5))
    def commit(self, name: str, forward: int) -> None:
        if name not in self.world.members:
            return
        member = self.member(name)
        for where in sorted(member.held):
            at = member.positions[where] + forward
            if self.world.commit(member, where, at):
                assert at >= self.committed.get(where, 0), "a commit went back"
                member.positions[where] = self.committed[where] = at

    @rule(ms=st.sampled_from([10, 60, 600, 1_500, 2_500]))
    def wait(self, ms: int) -> None:
        self.world.wait(ms)

    @rule()
    def reload(self) -> None:
        self.world.reload()

    @rule(
        name=st.sampled_from("tu"),
        partitions=st.integers(1, 5),
        split_at=st.none() | st.integers(0, SPLIT_AT_MAX),
    )
    def grow(self, name: str, partitions: int, split_at: int | None) -> None:
        topic = self.world.topics.find(name)
        if topic is None or len(topic.partitions) < partitions:
            self.world.topics.put(name, partitions, split_at)
            self.world.run(Settle(topics_changed=True))

    @precondition(lambda self: "u" in self.world.topics.by_name)
    @rule()
    def delete(self) -> None:
        del self.world.topics.by_name["u"]
        self.world.run(Settle(topics_changed=True))

    @rule()
    def rests(self) -> None:
        group = self.world
        for member in group.members.values():
            member.stalled = False
            group.say(member, first=True)
        group.wait(3 * max(SESSION_MS, REVOCATION_MS))
        group.come_to_rest()
        for _ in range(10):  # each may let a child go on that was split off what was read
            for member in group.members.values():
                member.positions = {
                    where: max(at, SPLIT_AT_MAX) for where, at in member.positions.items()
                }
            group.come_to_rest()
        table = group.group.table
        assert set(table.members) == set(group.members)
        wanted = {name for member in group.members.values() for name in member.topics}
        assert set(table.owners) == group.topics.partitions(wanted)
        for member in group.members.values():
            assert set(member.held) == table.owned.get(member.member_id, set())
            assert not group.membership.is_rebalancing(group.group)
        same = {len(m.held) for m in group.members.values() if m.topics == ("t", "u")}
        assert not same or max(same) - min(same) <= 1

    @rule()
    def compacts(self) -> None:
        """Replay believes nothing of one record because of another."""
        compacted = self.world.compacted().groups.get("g")
        assert compacted == self.world.state.groups.get("g")

    @invariant()
    def one_owner_at_a_time(self) -> None:
        group = self.world.group
        for where, owner in group.table.owners.items():
            assert where in group.table.owned[owner.member_id]
        for member in self.world.members.values():
            for where in member.held:
                has = group.table.owners.get(where)
                mine = has is not None and has.member_id == member.member_id
                request = CommitRequest(
                    "g", (), consumer=Consumer(member.member_id), member_epoch=member.member_epoch
                )
                if not mine:
                    with pytest.raises(FencedMember):
                        check_owner(group, where, request)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
