"""Every argument of the SDK that is a number, at values that are none or that no message can carry:
an answer or a typed error, and the client goes on."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.local_broker import LocalBroker, local_broker
from logd.model.checked_values import check_int, check_text
from logd.model.errors import InvalidConfig, LogdError
from logd.model.offset_spec import OffsetSpec
from logd_client.admin import Admin
from logd_client.consumer import Consumer
from logd_client.descriptions import ResetTarget
from logd_client.producer import Producer

pytestmark = pytest.mark.slow

NUMBERS = [
    *(
        sign * (1 << bits) - less
        for bits in (31, 32, 63, 64)
        for sign in (1, -1)
        for less in (0, 1)
    ),
    *(0, 1, -1, 1.0, 1.5, float("nan"), float("inf"), True, None, "1", b"1", 1 << 70),
]

Call = Callable[[Any, Any], Any]

CONSUMER: dict[str, Call] = {
    "seek": lambda c, n: c.seek("t", 0, n),
    "seek a partition": lambda c, n: c.seek("t", n, 0),
    "position": lambda c, n: c.position("t", n),
    "pause and resume": lambda c, n: (c.pause("t", n), c.resume("t", n)),
    "lag": lambda c, n: c.lag("t", n),
    "committed": lambda c, n: c.committed("t", n),
    "poll so long": lambda c, n: (c.seek("t", 0, 0), c.poll(n))[1],
    "poll so many": lambda c, n: (c.seek("t", 0, 0), c.poll(60_000, n))[1],
    "arrow since": lambda c, n: c.read_arrow("t", n),
    "arrow until": lambda c, n: c.read_arrow("t", None, n),
    "arrow partitions": lambda c, n: c.read_arrow("t", partitions=[n]),
}

ADMIN: dict[str, Call] = {
    "partitions": lambda a, n: a.create_topic("u", n, validate_only=True),
    "replicas": lambda a, n: a.create_topic("u", replication_factor=n, validate_only=True),
    "total": lambda a, n: a.add_partitions("t", n, validate_only=True),
    "describe": lambda a, n: a.describe_partitions("t", [n]),
    "look up in": lambda a, n: a.list_offsets("t", {n: OffsetSpec.latest()}),
    "look up an offset": lambda a, n: a.list_offsets("t", {0: OffsetSpec.at_offset(n)}),
    "look up a time": lambda a, n: a.list_offsets("t", {0: OffsetSpec.at_time(n)}),
    "look up a record time": lambda a, n: a.list_offsets("t", {0: OffsetSpec.at_record_time(n)}),
    "look up at": lambda a, n: a.list_offsets("t", {0: n}),
    "truncate in": lambda a, n: a.truncate_topic("t", {n: OffsetSpec.latest()}, True),
    "truncate": lambda a, n: a.truncate_topic("t", {0: OffsetSpec.at_offset(n)}, True),
    "commit in": lambda a, n: a.commit_offsets("g", {("t", n): 1}),
    "commit": lambda a, n: a.commit_offsets("h", {("t", 0): n}),
    "fetch": lambda a, n: a.fetch_offsets("g", {"t": [n]}),
    "reset in": lambda a, n: a.reset_offsets("g", ResetTarget.latest(), {"t": [n]}),
    "reset": lambda a, n: a.reset_offsets("g", ResetTarget.at_offset(n), {"t": [0]}),
    "reset to a time": lambda a, n: a.reset_offsets("g", ResetTarget.at_time(n), {"t": [0]}),
    "reset by": lambda a, n: a.reset_offsets("g", ResetTarget.by_duration(n), {"t": [0]}),
    "shift": lambda a, n: a.reset_offsets("g", ResetTarget.shift_by(n), {"t": [0]}),
    "plan": lambda a, n: a.reset_offsets("g", ResetTarget.plan([("t", 0, n)])),
    "plan in": lambda a, n: a.reset_offsets("g", ResetTarget.plan([("t", n, 0)])),
    "reset to": lambda a, n: a.reset_offsets("g", n, {"t": [0]}),
}

TEXTS: dict[str, Call] = {
    "create": lambda a, n: a.create_topic(n, validate_only=True),
    "describe": lambda a, n: a.describe_topic(n),
    "delete": lambda a, n: a.delete_topic(n, validate_only=True),
    "commit": lambda a, n: a.commit_offsets("g", {(n, 0): 1}),
    "group": lambda a, n: a.describe_group(n),
    "lag": lambda a, n: a.group_lag(n),
    "fetch": lambda a, n: a.fetch_offsets(n, {"t": [0]}),
    "reset to a group": lambda a, n: a.reset_offsets("g", ResetTarget.to_group(n), {"t": [0]}),
}


def test_what_is_an_int_within_the_bounds() -> None:
    class Index:
        def __index__(self) -> int:
            return 7

    assert check_int("n", Index(), 0, 7) == check_int("n", 7, 0, 7) == 7
    wrong: list[Any] = [-1, 8, 7.0, True, None, "7"]
    for value in wrong:
        with pytest.raises(InvalidConfig, match=r"n is .*, but takes an int, 0 to 7"):
            check_int("n", value, 0, 7)
    with pytest.raises(InvalidConfig, match="takes a text"):
        check_text("topic", "\udc80")


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalBroker]:
    """Three records in t:0, and a group `g` that has read one."""
    async with local_broker(tmp_path) as local:
        async with Admin(transport=local.transport) as admin:
            await admin.create_topic("t")
            async with Producer(transport=local.transport) as producer:
                times = [local.clock.wall_ms()] * 3
                await (await producer.send_many("t", [b"v"] * 3, timestamps_ms=times))
            await admin.commit_offsets("g", {("t", 0): 1})
        yield local


async def outcomes(client: Any, call: Call, values: list[Any]) -> list[str]:
    """What was neither an answer nor a typed error."""
    faults = []
    for value in values:
        try:
            given = call(client, value)
            if hasattr(given, "__await__"):
                await given
        except LogdError:
            pass
        except Exception as error:
            faults.append(f"{value!r}: {error!r}")
    return faults


@pytest.mark.parametrize("name", ADMIN)
async def test_a_number_for_an_admin(local: LocalBroker, name: str) -> None:
    async with Admin(transport=local.transport) as admin:
        assert await outcomes(admin, ADMIN[name], NUMBERS) == []
        (found,) = await admin.list_offsets("t", {0: OffsetSpec.latest()})
        assert found.offset == 3


@pytest.mark.parametrize("name", TEXTS)
async def test_a_name_for_an_admin(local: LocalBroker, name: str) -> None:
    async with Admin(transport=local.transport) as admin:
        texts = ["", "\udc80", "a b", "x" * 300, None, 5, 1.5, b"t", True]
        assert await outcomes(admin, TEXTS[name], texts) == []


@pytest.mark.parametrize("name", CONSUMER)
async def test_a_number_for_a_consumer(local: LocalBroker, name: str) -> None:
    settings: Any = {"group_id": "g", "enable_auto_commit": False, "fetch_max_wait_ms": 10}
    async with Consumer("t", transport=local.transport, **settings) as consumer:
        assert await outcomes(consumer, CONSUMER[name], NUMBERS) == []
        consumer.seek("t", 0, 0)
        assert [record.offset for record in await consumer.poll(60_000)] == [0, 1, 2]


async def test_a_position_that_no_fetch_can_carry_is_refused_before_the_start() -> None:
    consumer = Consumer("t")
    for number in (1 << 63, -1, 1.5):
        with pytest.raises(InvalidConfig):
            consumer.seek("t", 0, number)  # type: ignore[arg-type]
    await consumer.close()


@pytest.mark.parametrize("make", [OffsetSpec.at_time, ResetTarget.at_record_time])
def test_seconds_are_not_taken_for_milliseconds(make: Callable[[int], object]) -> None:
    with pytest.raises(InvalidConfig, match="looks like seconds"):
        make(1_795_957_200)
    for time_ms in (1_795_957_200_000, 0, 5, -1):
        make(time_ms)
