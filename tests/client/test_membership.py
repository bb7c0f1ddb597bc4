"""The member's state machine against a coordinator that keeps to the rules.

The property: whatever is lost, comes twice or crosses on the way, the member delivers a partition
only while it owns it, says in every request what it holds, and gives up what was revoked only when
the application is done with it; and once all is quiet both agree.
"""

from collections import deque
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from logd_client.core.membership import Changes, Key, Membership, Standing
from logd_proto.v1 import groups_pb2 as pb

SESSION_TIMEOUT_MS = 10_000
PARTITIONS = [(b"t" * 16, number) for number in range(3)]
ME, OTHER = "me", "other"
STANDINGS = {PARTITIONS[0]: Standing(paused=True), PARTITIONS[1]: Standing(stalled_ms=30_000)}


def new_membership(instance_id: str = "") -> Membership:
    wants = pb.Subscription(topics=["t"], session_timeout_ms=SESSION_TIMEOUT_MS)
    return Membership("g", ME, instance_id, wants)


def grant(number: int, epoch: int, offset: int | None = 0) -> pb.Grant:
    found = pb.Grant(topic_id=b"t" * 16, topic="t", partition=number, assignment_epoch=epoch)
    if offset is not None:
        found.position.offset = offset
    return found


def told(epoch: int, *grants: pb.Grant, rewind_epoch: int = -1) -> pb.SessionResponse:
    return pb.SessionResponse(member_epoch=epoch, rewind_epoch=rewind_epoch, assigned=grants)


def said(membership: Membership) -> pb.SessionRequest:
    request = membership.next_request({})
    assert request is not None
    assert membership.next_request({}) is None
    return request


def numbers(request: pb.SessionRequest) -> list[int]:
    return [each.partition for each in request.held]


def commit_of(key: Key) -> pb.OffsetCommit:
    return pb.OffsetCommit(topic_id=key[0], partition=key[1], offset=5)


def test_the_first_request_of_each_stream_says_everything() -> None:
    membership = new_membership("static")
    first = said(membership)
    assert (first.group, first.member_id, first.instance_id) == ("g", ME, "static")
    assert first.subscription.topics == ["t"] and first.member_epoch == 0
    assert not first.HasField("rewind_epoch") and numbers(first) == []
    membership.answered(told(7, grant(0, 7)))
    second = said(membership)
    assert second.group == "" and second.member_epoch == 7 and numbers(second) == [0]
    membership.restart()
    again = said(membership)
    assert again.group == "g" and again.member_epoch == 7 and numbers(again) == [0]
    assert again.rewind_epoch == -1


def test_what_is_paused_or_stands_still_is_said_once() -> None:
    membership = new_membership()
    membership.answered(told(1, grant(0, 1), grant(1, 1)))
    said(membership)
    request = membership.next_request(STANDINGS)
    assert request is not None
    assert [(each.paused, each.stalled_ms) for each in request.held] == [(True, 0), (False, 30_000)]
    assert membership.next_request(STANDINGS) is None
    membership.stalled = True
    request = membership.next_request(STANDINGS)
    assert request is not None and request.stalled


def test_a_place_that_is_waited_for_is_told_once_it_is_reached() -> None:
    membership = new_membership()
    waited_for = grant(0, 1)
    waited_for.report_at = 5
    membership.answered(told(1, waited_for, grant(1, 1)))
    assert membership.reporting == [PARTITIONS[0]]
    said(membership)
    assert membership.next_request({PARTITIONS[0]: Standing(done=4)}) is None
    request = membership.next_request(dict.fromkeys(PARTITIONS, Standing(done=7)))
    assert request is not None
    assert [(each.HasField("reached"), each.reached) for each in request.held] == [
        (True, 5),
        (False, 0),
    ]
    membership.answered(told(2, grant(0, 1, None), grant(1, 1, None)))
    assert membership.reporting == []


def test_why_a_partition_cannot_be_read_is_told() -> None:
    membership = new_membership()
    membership.answered(told(1, grant(0, 1)))
    said(membership)
    request = membership.next_request({PARTITIONS[0]: Standing(problem="CORRUPT at offset 3")})
    assert request is not None and request.held[0].problem == "CORRUPT at offset 3"
    request = membership.next_request({})
    assert request is not None and request.held[0].problem == ""


def test_a_revoked_partition_is_held_until_the_application_is_done() -> None:
    membership = new_membership()
    membership.answered(told(1, grant(0, 1), grant(1, 1)))
    said(membership)
    changes = membership.answered(told(2, grant(0, 1, None)))
    assert changes == Changes([], False, [], [], [PARTITIONS[1]])
    assert membership.answered(told(2, grant(0, 1, None))).revoked == [], "told twice"
    assert numbers(said(membership)) == [0, 1]
    membership.given_up(PARTITIONS[1], commit_of(PARTITIONS[1]))
    last = said(membership)
    assert numbers(last) == [0] and [each.offset for each in last.commits] == [5]


def test_last_commits_are_said_again_after_a_break_until_they_are_answered() -> None:
    membership = new_membership()
    membership.answered(told(1, grant(0, 1)))
    membership.answered(told(2))
    membership.given_up(PARTITIONS[0], commit_of(PARTITIONS[0]))
    assert len(said(membership).commits) == 1
    membership.restart()
    assert len(said(membership).commits) == 1
    answer = told(3)
    answer.committed.add(topic_id=b"t" * 16, partition=0)
    membership.answered(answer)
    membership.restart()
    assert not said(membership).commits


def test_a_grant_that_crosses_its_own_giving_up_is_not_taken() -> None:
    membership = new_membership()
    membership.answered(told(1, grant(0, 1)))
    said(membership)
    membership.answered(told(2))
    membership.given_up(PARTITIONS[0], None)
    said(membership)
    assert not membership.answered(told(2, grant(0, 1))).granted, "it was sent before"
    assert membership.answered(told(5, grant(0, 4))).granted, "it is free since, and granted anew"


def test_a_partition_that_was_away_in_between_is_lost_and_taken_anew() -> None:
    membership = new_membership()
    membership.answered(told(1, grant(0, 1)))
    said(membership)
    changes = membership.answered(told(9, grant(0, 8, 30)))
    assert changes.lost == [PARTITIONS[0]] and changes.granted == [grant(0, 8, 30)]


def test_a_partition_without_a_position_is_not_taken_but_given_up() -> None:
    membership = new_membership()
    membership.answered(told(1, grant(0, 1, None)))
    assert numbers(said(membership)) == [] and membership.member_epoch == 1


def test_a_rewind_moves_what_is_held_and_voids_last_commits() -> None:
    membership = new_membership()
    membership.answered(told(1, grant(0, 1), grant(1, 1), grant(2, 1)))
    said(membership)
    membership.answered(told(2, grant(0, 1, None)))
    membership.given_up(PARTITIONS[2], commit_of(PARTITIONS[2]))
    changes = membership.answered(told(3, grant(0, 1, 9), rewind_epoch=3))
    assert changes == Changes([], True, [grant(0, 1, 9)], [], [])
    request = said(membership)
    assert request.rewind_epoch == 3 and not request.commits and numbers(request) == [0, 1]
    again = membership.answered(told(3, grant(0, 1, 9), rewind_epoch=3))
    assert not again.rewound and not again.moved


def test_what_a_commit_found_with_others_is_lost_once_it_is_missing() -> None:
    membership = new_membership()
    membership.answered(told(1, grant(0, 1), grant(1, 1), grant(2, 1)))
    assert not membership.fenced(PARTITIONS[0]) and not membership.fenced(PARTITIONS[1])
    changes = membership.answered(told(2, grant(1, 1)))
    assert changes.lost == [PARTITIONS[0]] and changes.revoked == [PARTITIONS[2]]
    assert membership.fenced(PARTITIONS[2]), "it is being given up, so it is missing already"
    assert list(membership.held) == [PARTITIONS[1]]
    assert membership.answered(told(3)).revoked == [PARTITIONS[1]], "it was listed since"
    assert not membership.fenced((b"u" * 16, 0))


def test_a_session_that_is_away_for_too_long_loses_everything() -> None:
    membership = new_membership()
    membership.answered(told(4, grant(0, 4)))
    membership.broken(1_000)
    membership.broken(5_000)
    assert membership.away_ms(6_000) == 5_000
    assert membership.expire(999 + SESSION_TIMEOUT_MS) == []
    assert membership.expire(1_000 + SESSION_TIMEOUT_MS) == [PARTITIONS[0]]
    membership.restart()
    request = said(membership)
    assert request.member_epoch == 4 and numbers(request) == [], "so that it is given up"
    assert membership.answered(told(9, grant(0, 9))).granted
    assert membership.away_ms(90_000) == 0


def test_who_is_not_known_any_more_joins_anew() -> None:
    membership = new_membership()
    membership.answered(told(4, grant(0, 4)))
    said(membership)
    assert membership.rejoin() == [PARTITIONS[0]]
    membership.restart()
    assert said(membership).member_epoch == 0
    assert membership.answered(told(4, grant(0, 4))).granted


def test_a_member_leaves_without_its_partitions_a_static_one_keeps_its_place() -> None:
    for instance_id in ("", "static"):
        membership = new_membership(instance_id)
        membership.answered(told(1, grant(0, 1)))
        said(membership)
        membership.add_commit(PARTITIONS[0], commit_of(PARTITIONS[0]))
        membership.leave()
        last = said(membership)
        assert last.leaving == (not instance_id) and len(last.commits) == 1
        assert numbers(last) == ([0] if instance_id else [])
        assert not membership.settled
        answer = told(3, grant(1, 3))
        answer.committed.add(topic_id=b"t" * 16, partition=0)
        assert membership.answered(answer) == Changes([], False, [], [], [])
        assert membership.settled


@dataclass
class Coordinator:
    """The rules, for the one member and others who always do as they are told."""

    target: dict[Key, str] = field(default_factory=lambda: dict.fromkeys(PARTITIONS, ME))
    owners: dict[Key, tuple[str, int]] = field(default_factory=dict)
    epoch: int = 0
    rewind_epoch: int = -1
    said: set[Key] = field(default_factory=set)
    said_epoch: int = 0
    told_rewind: int | None = None
    last_commits: dict[Key, bool] = field(default_factory=dict)

    def settle(self) -> None:
        for key, who in self.target.items():
            if self.owners.get(key, ("", 0))[0] == OTHER != who:
                self.free(key)
            if key not in self.owners:
                self.epoch += 1
                self.owners[key] = (who, self.epoch)

    def free(self, key: Key) -> None:
        self.epoch += 1
        del self.owners[key]

    def hear(self, request: pb.SessionRequest) -> list[pb.OffsetCommitResult]:
        results = []
        for commit in request.commits:
            key = (commit.topic_id, commit.partition)
            self.last_commits[key] = self.owners.get(key, ("", 0))[0] == ME
            results.append(pb.OffsetCommitResult(topic_id=key[0], partition=key[1]))
        self.said = {(each.topic_id, each.partition) for each in request.held}
        self.said_epoch = request.member_epoch
        for key, (who, epoch) in list(self.owners.items()):
            if who == ME and epoch <= request.member_epoch and key not in self.said:
                self.free(key)
        self.settle()
        return results

    def answer(self) -> pb.SessionResponse:
        response = pb.SessionResponse(member_epoch=self.epoch, rewind_epoch=self.rewind_epoch)
        for key, (who, epoch) in self.owners.items():
            if who == ME and self.target[key] == ME:
                known = key in self.said and epoch <= self.said_epoch
                knows = known and self.told_rewind == self.rewind_epoch
                offset = None if knows else self.rewind_epoch + 1
                response.assigned.append(grant(key[1], epoch, offset))
        self.told_rewind = self.rewind_epoch
        return response


class MembershipMachine(RuleBasedStateMachine):
    """`mine` is what the application believes: key -> (epoch, whether it is delivered)."""

    @initialize()
    def start(self) -> None:
        self.membership = new_membership()
        self.coordinator = Coordinator()
        self.mine: dict[Key, tuple[int, bool]] = {}
        self.position_epoch: dict[Key, int] = {}
        self.forced: set[tuple[Key, int]] = set()
        self.requests: deque[pb.SessionRequest] = deque()
        self.responses: deque[pb.SessionResponse] = deque()
        self.latest: pb.SessionResponse | None = None
        self.now_ms = 0

    @rule()
    def send(self) -> None:
        request = self.membership.next_request({})
        if request is not None:
            held = {(each.topic_id, each.partition) for each in request.held}
            assert held == set(self.mine), "all that it was granted and has not given up or lost"
            self.requests.append(request)

    @rule()
    def hear(self) -> None:
        if self.requests:
            results = self.coordinator.hear(self.requests.popleft())
            response = self.coordinator.answer()
            response.committed.extend(results)
            self.responses.append(response)

    @rule()
    def push(self) -> None:
        if self.membership.joined:
            self.coordinator.settle()
            self.responses.append(self.coordinator.answer())

    @rule(twice=st.booleans())
    def receive(self, twice: bool) -> None:
        if not self.responses:
            return
        self.latest = self.responses.popleft()
        for _ in range(1 + twice):
            self.apply(self.membership.answered(self.latest))

    def apply(self, changes: Changes) -> None:
        for key in changes.lost:
            epoch, _ = self.mine.pop(key)
            assert (key, epoch) in self.forced, "lost only what was taken away"
        rewind_epoch = self.membership.rewind_epoch
        assert rewind_epoch is not None
        for moved in changes.moved:
            self.position_epoch[moved.topic_id, moved.partition] = moved.position.offset - 1
        for each in changes.granted:
            key = (each.topic_id, each.partition)
            assert key not in self.mine
            self.mine[key] = (each.assignment_epoch, True)
            self.position_epoch[key] = each.position.offset - 1
        for key in changes.revoked:
            epoch, delivered = self.mine[key]
            assert delivered, "revoked once"
            self.mine[key] = (epoch, False)
        for key, (_, delivered) in self.mine.items():
            if delivered:
                assert self.position_epoch[key] == rewind_epoch, "every position is of the epoch"

    @rule(key=st.sampled_from(PARTITIONS), with_commit=st.booleans())
    def finish(self, key: Key, with_commit: bool) -> None:
        """The application is done with what was revoked."""
        _, delivered = self.mine.get(key, (0, True))
        if not delivered:
            self.membership.given_up(key, commit_of(key) if with_commit else None)
            del self.mine[key]

    @rule(key=st.sampled_from(PARTITIONS), who=st.sampled_from([ME, OTHER]))
    def retarget(self, key: Key, who: str) -> None:
        self.coordinator.target[key] = who
        self.coordinator.settle()

    @rule(key=st.sampled_from(PARTITIONS), sent=st.booleans())
    def change_its_mind(self, key: Key, sent: bool) -> None:
        """What is revoked is granted again, before or after the member has given it up."""
        for who in (OTHER, ME):
            self.retarget(key, who)
            self.push()
        self.receive(twice=False)
        self.finish(key, True)
        if sent:
            self.send()

    @rule(key=st.sampled_from(PARTITIONS))
    def take_away(self, key: Key) -> None:
        """Its time to give it up is over."""
        who, epoch = self.coordinator.owners.get(key, ("", 0))
        if who == ME:
            self.forced.add((key, epoch))
            self.coordinator.free(key)
            self.coordinator.settle()

    @rule()
    def rewind(self) -> None:
        self.coordinator.rewind_epoch += 1

    @rule()
    def lose_connection(self) -> None:
        self.requests.clear()
        self.responses.clear()
        self.membership.broken(self.now_ms)
        self.membership.restart()
        self.coordinator.told_rewind = None

    @rule()
    def wait(self) -> None:
        """Past the session's time: what is lost then was never taken away."""
        self.now_ms += SESSION_TIMEOUT_MS
        for key in self.membership.expire(self.now_ms):
            self.mine.pop(key)

    @invariant()
    def delivers_only_what_it_owns(self) -> None:
        if not hasattr(self, "mine"):
            return
        for key, (epoch, _) in self.mine.items():
            owner = self.coordinator.owners.get(key)
            assert owner == (ME, epoch) or (key, epoch) in self.forced
        assert set(self.mine) == set(self.membership.held)

    def teardown(self) -> None:
        if not hasattr(self, "mine"):
            return
        self.lose_connection()
        for _ in range(12):
            self.send()
            self.hear()
            self.receive(twice=True)
            for key in PARTITIONS:
                self.finish(key, True)
        assert not self.requests and not self.responses
        owned = {key for key, (who, _) in self.coordinator.owners.items() if who == ME}
        wanted = {key for key, who in self.coordinator.target.items() if who == ME}
        assert owned == set(self.mine) == wanted
        assert all(self.mine[key] == (self.coordinator.owners[key][1], True) for key in owned)


TestMembershipMachine = MembershipMachine.TestCase
TestMembershipMachine.settings = settings(max_examples=150, stateful_step_count=40)
