"""Members by bare stubs: streams and calls, against a broker in this process."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from harness.local_broker import LocalBroker, local_broker
from harness.local_transport import LocalStream
from logd.model.errors import (
    Conflict,
    DuplicateInstance,
    FencedMember,
    GroupNotEmpty,
    InvalidConfig,
    InvalidName,
    LogdError,
    UnknownMember,
)
from logd_client import Admin, ResetTarget
from logd_client.topic_admin import error_of
from logd_proto.v1 import groups_pb2 as pb

SESSION = "/logd.v1.GroupService/Session"


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[LocalBroker]:
    async with local_broker(tmp_path) as broker:
        async with admin(broker) as asked:
            await asked.create_topic("t", 4)
        yield broker


def admin(broker: LocalBroker) -> Admin:
    return Admin(bootstrap_servers="local:1", transport=broker.transport, clock=broker.clock)


class Member:
    """A session as a bare stub has it."""

    def __init__(self, broker: LocalBroker, name: str, **first: Any) -> None:
        self._broker = broker
        self.name = name
        self._first = first
        self.stream: LocalStream
        self.told = pb.SessionResponse()
        self.held: list[tuple[bytes, int]] = []

    async def join(self, group: str = "g", **wants: Any) -> "Member":
        self.stream = await self._broker.transport.stream("local:1", SESSION)
        wants = wants or {"topics": ["t"]}
        await self.say(
            group=group, member_id=self.name, subscription=pb.Subscription(**wants), **self._first
        )
        await self.hear()
        return self

    async def say(self, **fields: Any) -> None:
        held = [pb.HeldPartition(topic_id=topic, partition=number) for topic, number in self.held]
        request = pb.SessionRequest(member_epoch=self.told.member_epoch, held=held, **fields)
        await self.stream.send(request.SerializeToString())

    async def hear(self) -> pb.SessionResponse:
        raw = await asyncio.wait_for(self.stream.receive(), 20)
        assert raw is not None, "the broker ended the session"
        self.told = pb.SessionResponse.FromString(raw)
        return self.told

    async def take(self) -> None:
        """Hold exactly what it was told, and say so."""
        self.held = [(g.topic_id, g.partition) for g in self.told.assigned]
        await self.say()

    @property
    def assigned(self) -> list[int]:
        return [grant.partition for grant in self.told.assigned]


def offsets_of(member: Member, offset: int, numbers: Iterable[int]) -> list[pb.OffsetCommit]:
    topic_id = member.told.assigned[0].topic_id
    return [pb.OffsetCommit(topic_id=topic_id, partition=n, offset=offset) for n in numbers]


async def commit(broker: LocalBroker, member: Member, offset: int, number: int) -> LogdError | None:
    request = pb.CommitOffsetsRequest(
        group="g",
        offsets=offsets_of(member, offset, [number]),
        rewind_epoch=member.told.rewind_epoch,
        consumer_id=member.name,
        member_epoch=member.told.member_epoch,
    )
    raw = await broker.transport.unary(
        "local:1", "/logd.v1.GroupService/CommitOffsets", request.SerializeToString(), 1000
    )
    return error_of(pb.CommitOffsetsResponse.FromString(raw).results[0])


async def test_two_members_share_and_one_takes_over_where_the_other_stopped(
    broker: LocalBroker,
) -> None:
    a = await Member(broker, "a").join()
    assert a.assigned == [0, 1, 2, 3]
    await a.take()
    b = await Member(broker, "b").join()
    assert b.assigned == []
    await a.hear()
    assert len(a.assigned) == 2
    given_up = sorted({0, 1, 2, 3} - set(a.assigned))
    last = offsets_of(a, 7, given_up)
    a.held = [(g.topic_id, g.partition) for g in a.told.assigned]
    await a.say(commits=last, rewind_epoch=-1)
    await b.hear()
    await b.take()
    assert b.assigned == given_up
    assert [grant.position.offset for grant in b.told.assigned] == [7, 7]
    await a.hear()
    assert [error_of(result) for result in a.told.committed] == [None, None]
    assert await commit(broker, b, 9, given_up[0]) is None
    fenced = await commit(broker, a, 9, given_up[1])
    assert isinstance(fenced, FencedMember) and "member 'b' has it" in fenced.message
    await a.say(leaving=True)
    await a.hear()
    assert a.assigned == []
    while len(b.assigned) < 4:
        await b.hear()
    known = {g.partition: g.HasField("position") for g in b.told.assigned}
    assert known == {n: n not in given_up for n in range(4)}, "what it holds goes on"


async def test_a_rewind_reaches_every_member_at_once(broker: LocalBroker) -> None:
    a = await Member(broker, "a").join()
    await a.take()
    assert await commit(broker, a, 5, 0) is None
    async with admin(broker) as asked:
        await asked.reset_offsets("g", ResetTarget.earliest(), execute=True)
    await a.hear()
    assert a.told.rewind_epoch > 1 << 40, "the leader's epoch stands before the offset"
    assert [g.position.offset for g in a.told.assigned if g.position.HasField("offset")] == [0]
    assert all(grant.HasField("position") for grant in a.told.assigned)
    assert await commit(broker, a, 3, 0) is None


async def test_a_broken_session_comes_back_to_what_it_had(broker: LocalBroker) -> None:
    a = await Member(broker, "a").join()
    await a.take()
    epochs = [grant.assignment_epoch for grant in a.told.assigned]
    await a.stream.close()
    await a.join()
    assert [grant.assignment_epoch for grant in a.told.assigned] == epochs


async def test_a_second_session_of_one_member_ends_the_first(broker: LocalBroker) -> None:
    a = await Member(broker, "a").join()
    again = await Member(broker, "a").join()
    with pytest.raises(Conflict, match="newer session"):
        await a.hear()
    assert again.assigned == [0, 1, 2, 3]
    async with admin(broker) as asked:
        (consumer,) = (await asked.describe_group("g")).consumers
        assert consumer.consumer_id == "a"


async def test_the_newest_process_of_a_static_name_stays(broker: LocalBroker) -> None:
    a = await Member(broker, "a", instance_id="one").join()
    await a.take()
    b = await Member(broker, "b", instance_id="one").join()
    assert b.assigned == [0, 1, 2, 3]
    with pytest.raises(DuplicateInstance, match="'one' of group 'g'"):
        await a.hear()
    with pytest.raises(DuplicateInstance):
        await a.join()


async def test_calls_offer_the_same_as_a_session(broker: LocalBroker) -> None:
    async def heartbeat(member: Member, max_wait_ms: int = 0, **fields: Any) -> None:
        held = [pb.HeldPartition(topic_id=topic, partition=number) for topic, number in member.held]
        session = pb.SessionRequest(
            group="g",
            member_id=member.name,
            subscription=pb.Subscription(topics=["t"], session_timeout_ms=120_000),
            member_epoch=member.told.member_epoch,
            held=held,
            rewind_epoch=member.told.rewind_epoch,
            **fields,
        )
        raw = await broker.transport.unary(
            "local:1",
            "/logd.v1.GroupService/Heartbeat",
            pb.HeartbeatRequest(session=session, max_wait_ms=max_wait_ms).SerializeToString(),
            60_000,
        )
        member.told = pb.HeartbeatResponse.FromString(raw).session
        member.held = [(g.topic_id, g.partition) for g in member.told.assigned]

    a, b = Member(broker, "a"), Member(broker, "b")
    await heartbeat(a)
    assert a.assigned == [0, 1, 2, 3]
    await heartbeat(a)
    assert not any(grant.HasField("position") for grant in a.told.assigned)
    waiting = asyncio.create_task(heartbeat(a, 60_000))
    await asyncio.sleep(0)
    await heartbeat(b)
    await waiting
    assert len(a.assigned) == 2 and b.assigned == []
    waiting = asyncio.create_task(heartbeat(b, 60_000))
    await heartbeat(a)
    async with asyncio.timeout(50):  # it would wait for longer where nothing is new
        await waiting
    assert sorted(a.assigned + b.assigned) == [0, 1, 2, 3]
    await heartbeat(b, leaving=True)
    assert b.assigned == []
    await heartbeat(a)
    await heartbeat(a)
    assert a.assigned == [0, 1, 2, 3]


async def test_a_call_is_answered_before_the_session_time_of_who_waits_is_over(
    broker: LocalBroker,
) -> None:
    session = pb.SessionRequest(
        group="g",
        member_id="a",
        subscription=pb.Subscription(topics=["t"], session_timeout_ms=100),
    )
    async with asyncio.timeout(30):  # half of what the second call, which has nothing new, asks for
        for _ in range(2):
            raw = await broker.transport.unary(
                "local:1",
                "/logd.v1.GroupService/Heartbeat",
                pb.HeartbeatRequest(session=session, max_wait_ms=60_000).SerializeToString(),
                60_000,
            )
            told = pb.HeartbeatResponse.FromString(raw).session
            session.member_epoch, session.rewind_epoch = told.member_epoch, told.rewind_epoch
            session.held.extend(
                pb.HeldPartition(topic_id=g.topic_id, partition=g.partition) for g in told.assigned
            )
    async with admin(broker) as asked:
        (consumer,) = (await asked.describe_group("g")).consumers
        assert consumer.consumer_id == "a", "it is still a member"


async def test_topics_and_partitions_that_come_are_told_at_once(broker: LocalBroker) -> None:
    a = await Member(broker, "a").join(topics=["t", "later"], pattern="or.*s")
    await a.take()
    async with admin(broker) as asked:
        await asked.create_topic("orders", 1)
        await a.hear()
        await a.take()
        await asked.add_partitions("t", 5)
        await a.hear()
        await a.take()
        await asked.create_topic("later", 1)
        await a.hear()
        await a.take()
        assert sorted((g.topic, g.partition) for g in a.told.assigned) == [
            ("later", 0),
            ("orders", 0),
            *(("t", number) for number in range(5)),
        ]
        new = {(g.topic, g.partition) for g in a.told.assigned if g.position.from_beginning}
        assert new == {("later", 0)}, "only what is granted just now has a position"
        await asked.delete_topic("t")
        await a.hear()
        assert sorted(g.topic for g in a.told.assigned) == ["later", "orders"]


async def test_a_group_with_members_is_described_and_not_deleted(broker: LocalBroker) -> None:
    a = await Member(broker, "a").join()
    await a.take()
    async with admin(broker) as asked:
        assert await commit(broker, a, 1, 0) is None
        (summary,) = await asked.list_groups()
        assert (summary.state, summary.consumers) == ("ACTIVE", 1)
        with pytest.raises(GroupNotEmpty, match="'a' at local"):
            await asked.delete_group("g")
        await a.say(leaving=True)
        await a.hear()
        assert await asked.delete_group("g") == 1


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"group": "no/name", "member_id": "a"}, InvalidName),
        ({"group": "g"}, InvalidConfig),
        ({"group": "g", "member_id": "a"}, UnknownMember),
        ({"group": "g", "member_id": "a", "subscription": pb.Subscription()}, InvalidConfig),
        (
            {"group": "g", "member_id": "a", "subscription": pb.Subscription(topics=["no/name"])},
            InvalidName,
        ),
        (
            {"group": "g", "member_id": "a", "subscription": pb.Subscription(pattern="(a")},
            InvalidConfig,
        ),
        (
            {
                "group": "g",
                "member_id": "a",
                "subscription": pb.Subscription(topics=["t"], assignor="best"),
            },
            InvalidConfig,
        ),
    ],
)
async def test_what_is_no_member_is_refused(
    broker: LocalBroker, fields: dict[str, Any], error: type[LogdError]
) -> None:
    stream = await broker.transport.stream("local:1", SESSION)
    await stream.send(pb.SessionRequest(**fields).SerializeToString())
    with pytest.raises(error):
        await stream.receive()


async def test_a_pattern_built_to_explode_costs_nothing(broker: LocalBroker) -> None:
    async with admin(broker) as asked:
        await asked.create_topic("a" * 200 + "b", 1)
    a = await Member(broker, "a").join(pattern="(a+)+$")
    assert a.assigned == []
