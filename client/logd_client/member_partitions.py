"""A member's partitions as they come and go: places them, and gives them up when it is time."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any

from logd.model.errors import LogdError, UnknownTopic
from logd_client.client_config import ConsumerConfig
from logd_client.consumer_fetcher import ConsumerFetcher
from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.membership import Changes, Key, Membership
from logd_client.core.partition_position import PartitionPosition
from logd_client.diagnostics import logger
from logd_client.group_commits import GroupCommits, placed
from logd_client.rebalance_callbacks import PartitionNames, RebalanceCallbacks
from logd_proto.v1 import groups_pb2 as pb

Spawn = Callable[[str, Coroutine[Any, Any, None]], asyncio.Task[None]]

GIVE_UP_SHARE = 0.9
"""Of revocation_timeout_ms: after all of it the coordinator gives the partition to others, with or
without a last commit."""


class MemberPartitions:
    """Does what `Membership` says with positions and callbacks. On the loop.

    A partition is delivered from on_assigned's end until it is revoked. Then delivery stops at
    once, the application finishes what it has in hand, on_revoked is called, and the last commit
    goes out with the message that gives it up: all that within GIVE_UP_SHARE of the time. Nothing
    here waits in `apply`: what takes time runs beside the session.
    """

    def __init__(
        self,
        membership: Membership,
        positions: ConsumerPositions,
        commits: GroupCommits,
        fetcher: ConsumerFetcher,
        callbacks: RebalanceCallbacks,
        config: ConsumerConfig,
        spawn: Spawn,
    ) -> None:
        self.membership = membership
        self.positions = positions
        self._commits = commits
        self._fetcher = fetcher
        self._callbacks = callbacks
        self._with_commits = config.enable_auto_commit
        self._give_up_s = config.revocation_timeout_ms * GIVE_UP_SHARE / 1000
        self._spawn = spawn
        self._came_back = asyncio.Event()
        self.changed = asyncio.Event()
        """The coordinator is to be told something."""
        commits.on_fenced = self._fenced
        positions.are_granted = True

    def apply(self, changes: Changes) -> None:
        """What a response brought."""
        membership = self.membership
        assert membership.rewind_epoch is not None, "a response says it"
        forgotten = self._commits.told(membership.member_epoch, membership.rewind_epoch)
        self.lose(changes.lost)
        if changes.rewound and not forgotten:
            if membership.held:
                logger.info("group_rewound", group=membership.group)
            self.positions.forget_all()
        if changes.rewound:
            self.came_back()  # nothing that is in hand counts any more
        for grant in changes.moved:
            at = self.positions.find(grant.topic_id, grant.partition)
            if at is not None:
                self._place(at, grant)
        granted = [self._take(grant) for grant in changes.granted]
        if granted and self._callbacks.has("on_assigned"):
            for at in granted:
                self.positions.withhold(at)
            self._spawn("assigned", self._assigned(granted))
        revoked = self._found(changes.revoked)
        for at in revoked:
            self.positions.withhold(at)
        busy = [at for at in revoked if self.positions.in_hand(at)]
        idle = [at for at in revoked if at not in busy]
        for some in filter(None, (idle, busy)):  # the former need not wait for the application
            self._spawn("revoke", self._revoke(some))
        self._fetcher.reassigned()

    def lose(self, keys: Iterable[Key]) -> None:
        """They are with others, or may be: nothing of them is delivered or committed any more."""
        lost = self._found(keys)
        for at in lost:
            at.lost = True
            self.positions.unassign(at)
        if not lost:
            return
        names = names_of(lost)
        logger.warning(
            "partitions_lost",
            group=self.membership.group,
            partitions=",".join(at.name for at in lost),
            effect="what was done since the last commit is done again, by whoever has them",
        )
        self._spawn("lost", self._callbacks.call("on_lost", names))
        self.came_back()  # who waits for the application looks again
        self.changed.set()
        self._fetcher.reassigned()

    def fail(self, error: LogdError) -> None:
        """Let the application's next read raise this."""
        self._fetcher.tell(error)

    def came_back(self) -> None:
        """The application has come back for more, or committed."""
        event, self._came_back = self._came_back, asyncio.Event()
        event.set()

    async def leave(self) -> None:
        """Give all up, as on a revocation but for the last commit. Bounded."""
        held = list(self.positions)
        told = [at for at in held if not self._is_given_up(at)]
        for at in held:
            self.positions.withhold(at)
        if self._callbacks.calls_us:
            return
        try:
            async with asyncio.timeout(self._give_up_s):
                await self._callbacks.call("on_revoked", names_of(told))
        except TimeoutError:
            self._late(told)

    async def last_commits(self) -> None:
        """Add the last commits of all that is held to what is said next."""
        if not self._with_commits:
            return
        held = list(self.positions)
        async with self._commits.one_at_a_time:
            await self._commits.commit_falling(held)
            for at, commit in self._commits.last_commits(held):
                self.membership.add_commit(key_of(at), commit)

    # Inside

    def _found(self, keys: Iterable[Key]) -> list[PartitionPosition]:
        found = (self.positions.find(*key) for key in keys)
        return [at for at in found if at is not None]

    def _take(self, grant: pb.Grant) -> PartitionPosition:
        at = self.positions.assign(grant.topic, grant.topic_id, grant.partition)
        if not self._commits.rewound:  # else the position is from before, and another comes
            self._place(at, grant)
        return at

    def _place(self, at: PartitionPosition, grant: pb.Grant) -> None:
        position, at.end = grant.position, grant.end if grant.HasField("end") else None
        if position.HasField("offset"):
            placed(self.positions, at, position)
            at.leader_epoch = position.leader_epoch if position.HasField("leader_epoch") else None
        else:
            at.committed = None
            if at.end == 0:  # a replay that has nothing of it
                self.positions.place(at, 0)
            self.positions.place_by_reset(at, earliest=position.from_beginning)

    async def _assigned(self, granted: list[PartitionPosition]) -> None:
        await self._callbacks.call("on_assigned", names_of(granted))
        for at in granted:
            if not self._is_given_up(at):
                self.positions.release(at)
        self._fetcher.reassigned()

    async def _revoke(self, revoked: list[PartitionPosition]) -> None:
        try:
            async with asyncio.timeout(self._give_up_s):
                while any(map(self.positions.in_hand, revoked)):
                    await self._came_back.wait()
                still = [at for at in revoked if self._has(at)]
                await self._callbacks.call("on_revoked", names_of(still))
                async with self._commits.one_at_a_time:  # what is on its way arrives before
                    if self._with_commits:
                        await self._commits.commit_falling(revoked)
        except TimeoutError:
            self._late(revoked)
        self._give_up(revoked)
        if not self.membership.held:
            await self._hear_the_end()

    async def _hear_the_end(self) -> None:
        """Who has nothing left to wait for is told, by the next read: all its topics are gone."""
        gone: LogdError | None = None
        subscription = self.membership.subscription
        for topic in () if subscription.pattern else subscription.topics:
            try:
                await self._commits.connection.topic(topic)
            except UnknownTopic as error:
                gone = error
            except LogdError:  # nobody can tell just now
                return
            else:
                return
        if gone is not None:
            self.fail(gone)

    def _give_up(self, revoked: Collection[PartitionPosition]) -> None:
        last: dict[Key, pb.OffsetCommit] = {}
        if self._with_commits:
            last = {key_of(at): commit for at, commit in self._commits.last_commits(revoked)}
        for at in revoked:
            if self._has(at):
                commit = last.get(key_of(at))
                # A commit that waits for its turn finds it gone, and says so.
                at.lost = commit is None and at.has_news(self.positions.done(at))
                self.membership.given_up(key_of(at), commit)
                self.positions.unassign(at)
        self.changed.set()
        self._fetcher.reassigned()

    def _fenced(self, at: PartitionPosition) -> None:
        if self._has(at) and self.membership.fenced(key_of(at)):
            self.lose([key_of(at)])

    def _has(self, at: PartitionPosition) -> bool:
        return self.positions.find(at.topic_id, at.partition) is at

    def _is_given_up(self, at: PartitionPosition) -> bool:
        held = self.membership.held.get(key_of(at))
        return held is None or held.giving_up

    def _late(self, partitions: Iterable[PartitionPosition]) -> None:
        logger.warning(
            "given_up_unfinished",
            group=self.membership.group,
            partitions=",".join(at.name for at in partitions),
            after_s=round(self._give_up_s),
            effect="whoever has them next may receive again what is in hand here",
        )


def key_of(at: PartitionPosition) -> Key:
    return at.topic_id, at.partition


def names_of(partitions: Iterable[PartitionPosition]) -> PartitionNames:
    """(topic, partition) of each."""
    return [(at.topic, at.partition) for at in partitions]
