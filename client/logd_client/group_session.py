"""A member's session with its group's coordinator: one stream, and another when it breaks.

How it works: `Membership` knows what was told and what is to be said; `MemberPartitions` does what
follows from it. What is here moves messages: one task reads responses, and within it one sends the
request that is due, whenever something has changed. Neither waits for the application.

A stream that breaks is replaced, and its first request says everything, so nothing is lost by it.
Meanwhile reading goes on with what is held, until the session was away for session_timeout_ms: then
all is lost, and the member goes on trying to join. The stream's keep-alive shows the coordinator
that the process lives; that its application does, is watched by `tick`.
"""

import asyncio
import contextlib
from collections.abc import Iterable

from logd.model.errors import (
    BrokerUnreachable,
    DuplicateInstance,
    FencedMember,
    GroupRewound,
    LogdError,
    RequestTimeout,
    UnknownMember,
)
from logd.model.seams import TransportStream
from logd_client.broker_connection import RETRY_BACKOFF_MAX_MS, BrokerConnection
from logd_client.client_config import ConsumerConfig
from logd_client.core.backoff import Backoff
from logd_client.core.membership import Key, Membership, Standing
from logd_client.core.progress_watch import TOLD_MS, ProgressWatch, Standstill
from logd_client.diagnostics import logger
from logd_client.group_commits import LAST_COMMIT_MS, LAST_COMMIT_UNREACHABLE_MS
from logd_client.member_partitions import MemberPartitions, Spawn, key_of
from logd_client.topic_admin import error_of
from logd_client.use_guard import UseGuard
from logd_proto.v1 import groups_pb2 as pb

_OF_THE_MEMBER = FencedMember, GroupRewound


class GroupSession:
    """Runs from `join` until `leave`, or until another process has taken its group_instance_id:
    that ends the consumer, by `guard`."""

    def __init__(
        self,
        connection: BrokerConnection,
        partitions: MemberPartitions,
        watch: ProgressWatch,
        config: ConsumerConfig,
        guard: UseGuard,
        spawn: Spawn,
    ) -> None:
        self._connection = connection
        self._clock = connection.clock
        self.membership = partitions.membership
        self.partitions = partitions
        self._watch = watch
        self._guard = guard
        self._spawn = spawn
        self._request_timeout_ms = config.request_timeout_ms
        self._max_poll_interval_ms = config.max_poll_interval_ms
        self._backoff = Backoff(config.retry_backoff_ms, RETRY_BACKOFF_MAX_MS, connection.random)
        self.running: asyncio.Task[None] | None = None
        """What moves the messages; who ends the consumer lets it run until `leave` is over."""
        self._news = asyncio.Event()
        self._refusal: LogdError | None = None
        self._ended = asyncio.Event()
        self._last_error: LogdError | None = None
        self._leave_within: asyncio.Timeout | None = None
        self._stalls: dict[Key, Standstill] = {}
        self._stall_told = False
        self._problems: dict[Key, str] = {}

    # Its life

    async def join(self) -> None:
        """Until the first response is placed. Raises what the coordinator refuses for good; may be
        repeated then."""
        while not self.membership.joined:
            if self._refusal is not None:
                refusal, self._refusal = self._refusal, None
                raise refusal
            if self.running is None:
                self.running = self._spawn("group session", self._run())
            self._news.clear()
            await self._news.wait()

    async def leave(self) -> None:
        """Say goodbye, with the last commits, and wait for the answer: LAST_COMMIT_MS, or while no
        broker can be reached LAST_COMMIT_UNREACHABLE_MS. The caller has stopped all else.

        Raises what kept it from being said, and the first error of a commit, but for those that
        tell of another member or of a rewind: they are logged.
        """
        if self.running is None or not self.membership.joined:
            return
        unreachable = isinstance(self._last_error, BrokerUnreachable)
        within_ms = LAST_COMMIT_UNREACHABLE_MS if unreachable else LAST_COMMIT_MS
        began_ms = self._clock.monotonic_ms()
        try:
            async with asyncio.timeout(within_ms / 1000) as self._leave_within:
                await self.partitions.last_commits()
                self.membership.leave()
                self.partitions.changed.set()
                if not self._is_silent:
                    await self._ended.wait()
        except TimeoutError:
            waited_ms = self._clock.monotonic_ms() - began_ms
            raise _gave_up(waited_ms, self._last_error) from None
        if self._refusal is not None:
            raise self._refusal

    def wake(self) -> None:
        """A partition was paused or resumed: the coordinator is to be told."""
        self.partitions.changed.set()

    # The application

    def came_back(self) -> None:
        """The application asks for more, or commits."""
        self.partitions.came_back()
        self._report()
        if self.membership.stalled:
            self.membership.stalled = False
            self._stalls.clear()
            self.partitions.changed.set()

    def tick(self, now_ms: int) -> None:
        """To be called now and then, after the watch has looked."""
        self.partitions.lose(self.membership.expire(now_ms))
        self._report()
        before = self.membership.stalled, self._stalled_ms()
        stalls = self._watch.standstills(now_ms, min(TOLD_MS, self._max_poll_interval_ms))
        in_hand = {key_of(each.at): each for each in stalls if each.in_hand}
        late = [each for each in in_hand.values() if each.for_ms >= self._max_poll_interval_ms]
        if late and not self._stall_told:
            self._tell_of(late[0])
        self._stall_told = bool(late) or self.membership.stalled
        if late:
            self.membership.stalled = True
        elif self.membership.stalled and self._went_on():
            self.membership.stalled = False
        if not self.membership.stalled or late:
            self._stalls = in_hand
        problems = {} if in_hand else {key_of(each.at): _untaken(each) for each in stalls}
        for at in self.partitions.positions:
            if at.error is not None:
                problems[key_of(at)] = f"{at.error.reason} at offset {at.position}"
        if before != (self.membership.stalled, self._stalled_ms()) or problems != self._problems:
            self._problems = problems
            self.partitions.changed.set()

    def _went_on(self) -> bool:
        """What stood still has moved on by itself, as in a loop; what was given up meanwhile tells
        nothing: the application has still to come back."""
        return all(key in self.membership.held for key in self._stalls)

    def _tell_of(self, stall: Standstill) -> None:
        logger.warning(
            "application_stalled",
            partition=stall.at.name,
            offset=stall.offset,
            for_s=stall.for_ms // 1000,
            effect="max_poll_interval_ms is over: the group's other members get what this one has",
        )

    # Messages

    def _next_request(self) -> pb.SessionRequest | None:
        return self.membership.next_request(self._standings())

    def _standings(self) -> dict[Key, Standing]:
        positions, stalled_ms = self.partitions.positions, self._stalled_ms()
        return {
            key_of(at): Standing(
                paused=at.paused,
                stalled_ms=stalled_ms.get(key_of(at), 0),
                done=positions.done(at) if at.known else None,
                problem=self._problems.get(key_of(at), ""),
                finished=at.end is not None and at.known and positions.done(at) >= at.end,
            )
            for at in positions
        }

    def _report(self) -> None:
        """Let the coordinator hear at once of a place that it waits for."""
        positions = self.partitions.positions
        for key in self.membership.reporting:
            at, held = positions.find(*key), self.membership.held.get(key)
            if at is None or held is None or held.report_at is None or not at.known:
                continue
            if positions.done(at) >= held.report_at:
                self.partitions.changed.set()

    def _stalled_ms(self) -> dict[Key, int]:
        """As the coordinator is told of it: anew every TOLD_MS, and once it is too long."""
        least_ms = self._max_poll_interval_ms
        return {
            key: max(each.for_ms // TOLD_MS * TOLD_MS, least_ms if each.for_ms >= least_ms else 0)
            for key, each in self._stalls.items()
        }

    async def _run(self) -> None:
        try:
            while not self._is_silent:
                address = self._connection.address
                try:
                    stream = await self._connection.stream("GroupService/Session")
                    try:
                        await self._use(stream)
                        return
                    finally:
                        await stream.close()
                except LogdError as error:
                    if self._is_over(address, error):
                        return
                await asyncio.sleep(self._backoff.next_ms() / 1000)
        finally:
            self.running = None
            self._ended.set()

    @property
    def _is_silent(self) -> bool:
        """A static member leaves without a word but its commits: its place is kept for it."""
        return self.membership.settled and bool(self.membership.instance_id)

    def _is_over(self, address: str, error: LogdError) -> bool:
        """What a broken stream means. Whether it is the end."""
        logger.debug("group_session_broken", address=address, error=error.message)
        self._last_error = error
        self.membership.broken(self._clock.monotonic_ms())
        if isinstance(error, DuplicateInstance):
            self.partitions.lose(self.membership.rejoin())
            self._guard.end(error)
            self._refuse(error)
            return True
        if isinstance(error, UnknownMember | FencedMember):
            self.partitions.lose(self.membership.rejoin())
            return self.membership.leaving
        if error.retriable:
            self._connection.failed(address, error)
        else:
            self._connection.answered()
        if self.membership.leaving and isinstance(error, BrokerUnreachable):
            self._leave_sooner()
        if error.retriable:
            return False
        if self.membership.joined and not self.membership.leaving:
            self.partitions.fail(error)  # it goes on trying: whoever reads again may get on
            return False
        self._refuse(error)
        return True

    def _refuse(self, error: LogdError) -> None:
        """Whoever waits to join, or to leave, is given it."""
        self._refusal = error
        self._news.set()

    def _leave_sooner(self) -> None:
        soon_s = asyncio.get_running_loop().time() + LAST_COMMIT_UNREACHABLE_MS / 1000
        within, self._leave_within = self._leave_within, None
        if within is not None and soon_s < (within.when() or 0):
            _reschedule(within, soon_s)

    async def _use(self, stream: TransportStream) -> None:
        """Until the member has left, or the stream breaks, which raises."""
        self.membership.restart()
        sender = asyncio.create_task(self._send_requests(stream))
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._request_timeout_ms / 1000) as wait:
                sender.add_done_callback(lambda _: _reschedule(wait, loop.time()))
                while not self._is_silent:
                    message = await stream.receive()
                    if message is None:
                        break
                    wait.reschedule(None)
                    self._take(pb.SessionResponse.FromString(bytes(message)))
        except TimeoutError:
            if sender.done():
                await sender
            waited_ms = self._request_timeout_ms
            raise RequestTimeout(f"a group session was not begun within {waited_ms} ms") from None
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        if not self.membership.settled:
            raise BrokerUnreachable("the broker ended the group session")

    async def _send_requests(self, stream: TransportStream) -> None:
        changed = self.partitions.changed
        while True:
            changed.clear()
            request = self._next_request()
            if request is not None:
                await stream.send(request.SerializeToString())
            await changed.wait()

    def _take(self, response: pb.SessionResponse) -> None:
        pace = (
            self.partitions.positions.turns.pace
        )  # all zeros: there is no replay, or it has no pace
        now_ms = self._clock.monotonic_ms()
        pace.tell(response.replay.speed, response.replay.clock_ms, now_ms)
        self.partitions.apply(self.membership.answered(response))
        self._last_error = None
        self._connection.answered()
        self._backoff.reset()
        for warning in response.warnings:
            logger.warning("group_warning", group=self.membership.group, warning=warning)
        for result in response.committed:
            error = error_of(result)
            if error is None:
                continue
            if self.membership.leaving and not isinstance(error, _OF_THE_MEMBER):
                self._refusal = self._refusal or error
            else:
                logger.warning(
                    "last_commit_refused", group=self.membership.group, error=error.message
                )
        self.partitions.changed.set()
        self._news.set()


def new_membership(member_id: str, topics: Iterable[str], config: ConsumerConfig) -> Membership:
    """Of a consumer with this config, which has a group_id."""
    wants = pb.Subscription(
        topics=topics,
        pattern=config.pattern or "",
        assignor=config.group_remote_assignor,
        rack=config.client_rack or "",
        session_timeout_ms=config.session_timeout_ms,
        revocation_timeout_ms=config.revocation_timeout_ms,
    )
    return Membership(config.group_id or "", member_id, config.group_instance_id or "", wants)


def _untaken(stall: Standstill) -> str:
    """As of an application that has nothing in hand: who is busy with one partition takes nothing
    of the others. It changes every TOLD_MS only, since each change is told."""
    what = "its application takes no records" if stall.at.buffered else "no records reach it"
    for_s = stall.for_ms // TOLD_MS * TOLD_MS // 1000
    return f"{what} at offset {stall.offset} for {for_s} s" if for_s else ""


def _reschedule(wait: asyncio.Timeout, when_s: float) -> None:
    """It ends then, unless it has ended by itself."""
    with contextlib.suppress(RuntimeError):
        wait.reschedule(when_s)


def _gave_up(waited_ms: int, last: LogdError | None) -> LogdError:
    why = "no answer" if last is None else last.message
    make = BrokerUnreachable if isinstance(last, BrokerUnreachable) else RequestTimeout
    return make(f"gave up on leaving the group after {waited_ms} ms: {why}")
