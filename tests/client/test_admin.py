"""Admin against a real broker in this process: every call, with its answers and errors."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.local_broker import local_broker
from logd.model.errors import (
    ClientClosed,
    CommitBehind,
    InvalidConfig,
    TopicExists,
    UnknownGroup,
    UnknownTopic,
)
from logd.model.offset_spec import OffsetSpec
from logd_client.admin import Admin
from logd_client.descriptions import ResetTarget
from logd_client.producer import Producer


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with local_broker(tmp_path) as broker:
        async with Producer(transport=broker.transport, linger_ms=0) as producer:
            async with Admin(transport=broker.transport) as admin:
                await admin.create_topic("orders", partitions=2, config={"durability": "fsync"})
                for partition, count in ((0, 10), (1, 4)):
                    values = [b"%d" % number for number in range(count)]
                    times = [broker.clock.wall_ms()] * count
                    await (
                        await producer.send_many(
                            "orders", values, partition=partition, timestamps_ms=times
                        )
                    )
                yield admin


async def test_topics_are_made_listed_changed_and_deleted(admin: Admin) -> None:
    tried = await admin.create_topic("new", 3, validate_only=True)
    assert (tried.name, len(tried.partitions), tried.topic_id) == ("new", 3, b"")
    made = await admin.create_topic("new", 3, config={"retention_ms": "1h"})
    assert made == await admin.describe_topic("new")
    assert made.config["retention_ms"] == "3600000" and len(made.topic_id) == 16
    assert [each.partition for each in made.partitions] == [0, 1, 2]
    assert made.partitions[-1].hash_hi == 1 << 32
    with pytest.raises(TopicExists):
        await admin.create_topic("new")
    assert await admin.create_topic("new", if_not_exists=True) == made
    with pytest.raises(TopicExists, match="'new' exists, and 'New' differs from it only in case"):
        await admin.create_topic("New", if_not_exists=True)
    assert [topic.name for topic in await admin.list_topics()] == ["new", "orders"]
    changed = await admin.set_topic("new", {"retention_ms": "2h"}, validate_only=True)
    assert changed.config["retention_ms"] == "7200000"
    assert (await admin.describe_topic("new")).config["retention_ms"] == "3600000"
    changed = await admin.set_topic("new", {"retention_ms": "2h"})
    assert (await admin.describe_topic("new")) == changed
    assert changed.config["retention_ms"] == "7200000"
    grown, share = await admin.add_partitions("new", 4)
    assert len(grown.partitions) == 4 and 0 < share < 1
    assert await admin.delete_topic("new") == made.topic_id
    with pytest.raises(UnknownTopic):
        await admin.describe_topic("new")
    with pytest.raises(InvalidConfig):
        await admin.create_topic("odd", config={"retention": "1h"})


async def test_partitions_offsets_and_truncation(admin: Admin) -> None:
    first, second = await admin.describe_partitions("orders")
    assert (first.topic, first.partition, first.high_watermark) == ("orders", 0, 10)
    assert second.log_end_offset == second.synced_end_offset == 4
    assert len(await admin.describe_partitions("orders", [1])) == 1
    found = await admin.list_offsets(
        "orders", {0: OffsetSpec.earliest(), 1: OffsetSpec.latest(), 7: OffsetSpec.latest()}
    )
    assert [(each.partition, each.offset) for each in found[:2]] == [(0, 0), (1, 4)]
    assert found[2].error is not None and found[2].error.reason == "UNKNOWN_PARTITION"
    assert found[1].timestamp_ms is None
    (first_at,) = await admin.list_offsets("orders", {0: OffsetSpec.at_time(0)})
    assert first_at.timestamp_ms is not None and first_at.timestamp_ms > 0
    for spec in (OffsetSpec.at_time(0), OffsetSpec.at_record_time(0), OffsetSpec.at_offset(0)):
        assert (await admin.list_offsets("orders", {0: spec}))[0].offset == 0
    (tried,) = await admin.truncate_topic("orders", {0: OffsetSpec.at_offset(6)}, True)
    assert (tried.log_start_offset, tried.records) == (6, 6)
    (done,) = await admin.delete_records("orders", {0: OffsetSpec.at_offset(6)})
    assert done == tried
    assert (await admin.describe_partitions("orders", [0]))[0].log_start_offset == 6


async def test_a_group_is_committed_rewound_undone_and_forgotten(admin: Admin) -> None:
    offsets = {("orders", 0): 8, ("orders", 1): 4}
    assert all(one.error is None for one in await admin.commit_offsets("g", offsets))
    (behind,) = await admin.commit_offsets("g", {("orders", 0): 2})
    assert isinstance(behind.error, CommitBehind)
    assert [group.group for group in await admin.list_groups()] == ["g"]
    described = await admin.describe_group("g")
    assert described.group.topics == ("orders",) and described.rewind_epoch == -1
    assert [lag.lag_records for lag in await admin.group_lag("g")] == [2, 0]
    plan = await admin.reset_offsets("g", ResetTarget.shift_by(-3), {"orders": [0]})
    assert [(one.partition, one.to_offset) for one in plan.partitions] == [(0, 5)]
    assert not plan.executed and await committed(admin) == {0: 8, 1: 4}
    every: list[Any] = [["orders"], "orders", {"orders": []}, {"orders": None}]
    for both in every:
        plan = await admin.reset_offsets("g", ResetTarget.earliest(), both)
        assert [one.partition for one in plan.partitions] == [0, 1]
    for wrong in (5, {"orders": 0}, [5]):
        with pytest.raises(InvalidConfig, match="topic"):
            await admin.reset_offsets("g", ResetTarget.earliest(), wrong)  # type: ignore[arg-type]
    for target, expected in (
        (ResetTarget.earliest(), {0: 0, 1: 0}),
        (ResetTarget.latest(), {0: 10, 1: 4}),
        (ResetTarget.at_offset(3), {0: 3, 1: 3}),
        (ResetTarget.at_time(0), {0: 0, 1: 0}),
        (ResetTarget.by_duration(timedelta(minutes=1)), {0: 0, 1: 0}),
        (ResetTarget.latest(), {0: 10, 1: 4}),
        (ResetTarget.at_record_time(datetime(1970, 1, 1, tzinfo=UTC)), {0: 0, 1: 0}),
        (ResetTarget.latest(), {0: 10, 1: 4}),
        (ResetTarget.by_record_duration(60_000), {0: 0, 1: 0}),
        (ResetTarget.plan([("orders", 1, 2)]), {0: 0, 1: 2}),
        (ResetTarget.current(), {0: 0, 1: 2}),
    ):
        assert (await admin.reset_offsets("g", target, execute=True, actor="me")).executed
        assert await committed(admin) == expected, target
    await admin.commit_offsets("other", {("orders", 0): 9})
    await admin.reset_offsets("g", ResetTarget.to_group("other"), {"orders": [0]}, execute=True)
    assert await committed(admin) == {0: 9, 1: 2}
    assert (await admin.undo_reset("g")).partitions
    await admin.undo_reset("g", execute=True)
    assert await committed(admin) == {0: 0, 1: 2}
    assert [event.kind for event in await admin.group_history("g")][:2] == ["UNDO", "RESET"]
    await admin.commit_offsets("g", {("orders", 0): 1})
    assert await admin.delete_group("g") == 2
    with pytest.raises(UnknownGroup):
        await admin.describe_group("g")


async def committed(admin: Admin) -> dict[int, int | None]:
    return {one.partition: one.offset for one in await admin.fetch_offsets("g", {"orders": []})}


async def test_the_cluster_is_described(admin: Admin) -> None:
    info = await admin.cluster_info()
    assert [broker.broker_id for broker in info.brokers] == [0] and info.metadata == "sqlite"
    assert (info.topics, info.partitions) == (1, 2)
    health = await admin.cluster_health()
    assert health.status == "healthy" and health.problems == ()


async def test_after_close_nothing_answers(admin: Admin) -> None:
    await admin.close()
    await admin.close()
    with pytest.raises(ClientClosed):
        await admin.list_topics()


def test_settings_are_checked() -> None:
    with pytest.raises(InvalidConfig, match="did you mean 'client_id'"):
        Admin(clientid="x")  # type: ignore[call-arg]
