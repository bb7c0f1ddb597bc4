"""A member of a consumer group: what it was told, what it holds, what it says next.

Sans-IO, and level-triggered: a request says all that the member holds, a response all that it has.
So nothing is counted, and any message may be lost or come again. A partition's life here:

    granted     a response lists it, with a position: it is in `held`, and in every request, until
    revoked     a response does not list it: it stays in `held` while the application finishes, then
    given up    `given_up`: it leaves `held`, and the next request carries its last commit
    lost        somebody else has it, or has had it: it leaves `held` at once, and commits nothing

Which grant is new? A request says by leaving a partition out that all it was granted up to
`member_epoch` is given up, be it still in a response that crosses it on the way. So of what is not
held only a grant whose epoch is above that of the latest request is taken; the coordinator frees
the others once it hears, and grants them anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from logd_proto.v1 import groups_pb2 as pb

Key = tuple[bytes, int]
"""Topic id, partition number."""


@dataclass(slots=True)
class Held:
    """A partition that the member holds, since the assignment epoch `epoch`."""

    topic: str
    epoch: int
    giving_up: bool = False
    fenced: bool = False
    """A commit of it was refused, or the coordinator named it lost: once it is missing in a
    response, it is lost, not revoked."""
    report_at: int | None = None
    """The coordinator is to be told once everything below is done."""


class Standing(NamedTuple):
    """How the application stands to a partition. `done`: it has come so far; None: not known.
    `stalled_ms`: it has not come back from a record for so long. `problem`: why it cannot be read
    on. `finished`: it is done with all that a replay has of it."""

    paused: bool = False
    stalled_ms: int = 0
    done: int | None = None
    problem: str = ""
    finished: bool = False


class Changes(NamedTuple):
    """What a response brought, to be done in this order."""

    lost: list[Key]
    rewound: bool
    """Every position is void; those held and not being given up have new ones in `moved`."""
    moved: list[pb.Grant]
    granted: list[pb.Grant]
    revoked: list[Key]


class Membership:
    """One member's state. `member_id` is its own choice, and outlives sessions."""

    def __init__(
        self, group: str, member_id: str, instance_id: str, subscription: pb.Subscription
    ) -> None:
        self._identity = pb.SessionRequest(
            group=group, member_id=member_id, instance_id=instance_id, subscription=subscription
        )
        self._session_timeout_ms = subscription.session_timeout_ms
        self._said: pb.SessionRequest | None = None
        self._said_epoch = 0
        self._commits: dict[Key, pb.OffsetCommit] = {}
        self._commits_said: set[Key] = set()
        self._away_since_ms: int | None = None
        self.held: dict[Key, Held] = {}
        self.member_epoch = 0
        self.rewind_epoch: int | None = None
        self.stalled = False
        """The application stands still: others shall have the partitions until it comes back."""
        self.reporting: list[Key] = []
        """Those with a `report_at`."""
        self.leaving = False
        self.replay_over = False
        """The group's replay has come to its end, in all that its members are to have."""
        self.joined = False
        """There was a response."""

    @property
    def group(self) -> str:
        return self._identity.group

    @property
    def member_id(self) -> str:
        return self._identity.member_id

    @property
    def subscription(self) -> pb.Subscription:
        return self._identity.subscription

    @property
    def instance_id(self) -> str:
        """Of a static member; else empty."""
        return self._identity.instance_id

    # What it says

    def next_request(self, standings: Mapping[Key, Standing]) -> pb.SessionRequest | None:
        """What is to be sent now; None: the coordinator knows it all. The caller sends it."""
        request = pb.SessionRequest(
            member_epoch=self.member_epoch,
            rewind_epoch=self.rewind_epoch,
            leaving=self.leaving and not self.instance_id,
            stalled=self.stalled,
        )
        for key, held in self.held.items():
            standing, at = standings.get(key, Standing()), held.report_at
            has_come = at is not None and standing.done is not None and standing.done >= at
            request.held.add(
                topic_id=key[0],
                partition=key[1],
                paused=standing.paused,
                stalled_ms=standing.stalled_ms,
                reached=at if has_come else None,
                problem=standing.problem,
                finished=standing.finished,
            )
        first, untold = self._said is None, self._commits.keys() - self._commits_said
        if request == self._said and not untold:
            return None
        self._said, self._said_epoch = request, self.member_epoch
        whole = pb.SessionRequest()
        whole.CopyFrom(request)
        if first:
            whole.MergeFrom(self._identity)
        whole.commits.extend(self._commits[key] for key in sorted(untold))
        self._commits_said |= untold
        return whole

    def given_up(self, key: Key, commit: pb.OffsetCommit | None) -> None:
        """The application is done with it, this far."""
        self.held.pop(key, None)
        self.add_commit(key, commit)

    def add_commit(self, key: Key, commit: pb.OffsetCommit | None) -> None:
        """To go out with the next request, and again after a break until it is answered."""
        if commit is not None:
            self._commits[key] = commit
            self._commits_said.discard(key)

    def leave(self) -> None:
        """For good, or of a static member until it is started again: it takes nothing more."""
        self.leaving = True
        if not self.instance_id:
            self.held.clear()

    @property
    def settled(self) -> bool:
        """It leaves, and nothing that it committed last is unanswered."""
        return self.leaving and not self._commits

    # What it is told

    def answered(self, response: pb.SessionResponse) -> Changes:
        """Take a response; what it changes."""
        assigned = {(grant.topic_id, grant.partition): grant for grant in response.assigned}
        rewound = self.rewind_epoch not in (None, response.rewind_epoch)
        self.joined, self._away_since_ms = True, None
        self.replay_over = response.replay_over
        self.member_epoch, self.rewind_epoch = response.member_epoch, response.rewind_epoch
        for result in response.committed:
            key = (result.topic_id, result.partition)
            self._commits.pop(key, None)
            self._commits_said.discard(key)
        if rewound:
            self._forget_commits()
        changes = Changes([], rewound, [], [], [])
        if self.leaving:
            return changes
        lost = {(each.topic_id, each.partition) for each in response.lost}
        for key, held in list(self.held.items()):
            held.fenced = held.fenced or key in lost
            self._compare(key, held, assigned.get(key), changes)
        for key in changes.lost:
            del self.held[key]
        for key, grant in assigned.items():
            is_new = grant.assignment_epoch > self._said_epoch
            if key not in self.held and is_new and grant.HasField("position"):
                self.held[key] = Held(grant.topic, grant.assignment_epoch)
                changes.granted.append(grant)
            if key in self.held:
                has_one = grant.HasField("report_at")
                self.held[key].report_at = grant.report_at if has_one else None
        self.reporting = [key for key, held in self.held.items() if held.report_at is not None]
        return changes

    def _compare(self, key: Key, held: Held, grant: pb.Grant | None, changes: Changes) -> None:
        if grant is None:
            if held.fenced:
                changes.lost.append(key)
            elif not held.giving_up:
                held.giving_up = True
                changes.revoked.append(key)
            return
        held.fenced = False
        if grant.assignment_epoch != held.epoch:
            changes.lost.append(key)
        elif changes.rewound and not held.giving_up:
            if grant.HasField("position"):
                changes.moved.append(grant)
            else:  # against the rule; it is granted anew, with a position
                changes.lost.append(key)

    def fenced(self, key: Key) -> bool:
        """A commit of it was refused, since somebody else has it. Whether it is lost by that."""
        held = self.held.get(key)
        if held is None:
            return False
        held.fenced = True
        if held.giving_up:
            del self.held[key]
        return held.giving_up

    # Its session

    def restart(self) -> None:
        """A new stream begins: its first request says everything."""
        self._said = None
        self._commits_said.clear()

    def broken(self, now_ms: int) -> None:
        """The stream has broken, or could not be had."""
        if self._away_since_ms is None:
            self._away_since_ms = now_ms

    def away_ms(self, now_ms: int) -> int:
        """For so long there is no session; 0: there is."""
        return 0 if self._away_since_ms is None else now_ms - self._away_since_ms

    def expire(self, now_ms: int) -> list[Key]:
        """What is lost by now, since the session was away for too long."""
        if not self.held or self.away_ms(now_ms) < self._session_timeout_ms:
            return []
        return self._lose_all()

    def rejoin(self) -> list[Key]:
        """The coordinator does not know the member: it joins as if never before. What is lost."""
        self.member_epoch = self._said_epoch = 0
        return self._lose_all()

    def _lose_all(self) -> list[Key]:
        lost = list(self.held)
        self.held.clear()
        self._forget_commits()
        return lost

    def _forget_commits(self) -> None:
        self._commits.clear()
        self._commits_said.clear()
