"""`logctl groups`: list, describe, lag, delete. Members are in `group_members`, rewinding is in
`group_reset`, replays in `group_fork`."""

from typing import TYPE_CHECKING, Any

import click

from logd.cli.group_fork import fork, format_speed
from logd.cli.group_members import members, why
from logd.cli.group_reset import history, reset, undo
from logd.cli.invocation import Invocation, NounGroup
from logd.cli.output import Column, Json, Section, counted
from logd.cli.parsed_type import GROUP
from logd.cli.times import format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logd.model.group import GroupSummary, PartitionLag
    from logd.model.group_replay import ReplayStatus
    from logd_client import Admin
    from logd_client.descriptions import GroupDescription

WATCH_INTERVAL_S = 2.0
_COLUMNS = (
    Column("GROUP", "group", "name"),
    Column("STATE", "state"),
    Column("CONSUMERS", "consumer_count", "number"),
    Column("TOPICS", "topics"),
    Column("COMMITTED", "committed_at"),
)
_LINES = (
    Column("group", "group", "name"),
    Column("state", "state"),
    Column("topics", "topics"),
    Column("last commit", "committed_at"),
    Column("rewind epoch", "rewind_epoch"),
    Column("replays", "replays"),
    Column("coordinator partition", "coordinator_partition", wide=True),
)
_OFFSETS = Section(
    "offsets",
    "offsets",
    (
        Column("TOPIC", "topic", "name"),
        Column("PARTITION", "partition", "number"),
        Column("COMMITTED", "committed", "number"),
        Column("AT", "committed_at"),
        Column("METADATA", "metadata", wide=True),
    ),
)
_CONSUMERS = Section(
    "consumers",
    "consumers",
    (
        Column("CONSUMER", "consumer_id", "name"),
        Column("PEER", "peer"),
        Column("SEEN", "seen"),
        Column("PARTITIONS", "partitions"),
    ),
)
_LAG = (
    Column("TOPIC", "topic", "name"),
    Column("PARTITION", "partition", "number"),
    Column("COMMITTED", "committed", "number"),
    Column("HIGH_WATERMARK", "high_watermark", "number"),
    Column("LAG", "lag_records", "number"),
    Column("BYTES", "lag_bytes", "size"),
    Column("SECONDS", "lag_seconds", "seconds"),
    Column("RATE", "rate", "rate", wide=True),
    Column("CATCH_UP", "catch_up_seconds", "seconds", wide=True),
    Column("REASON", "reason", "state"),
)
_LAG_OF_ALL = (
    Column("GROUP", "group", "name"),
    Column("LAG", "lag_records", "number"),
    Column("BYTES", "lag_bytes", "size"),
    Column("SECONDS", "lag_seconds", "seconds"),
    Column("WORST", "worst"),
    Column("REASON", "reason", "state"),
)
GROUPS_AT_ONCE = 16


@click.group(cls=NounGroup)
def groups() -> None:
    """Consumer groups: members, lag and why, rewinding, history."""


groups.add_command(reset)
groups.add_command(undo)
groups.add_command(history)
groups.add_command(fork)
groups.add_command(members)
groups.add_command(why)


@groups.command("ls")
@click.pass_obj
def ls(invocation: Invocation) -> None:
    """List consumer groups."""

    async def work() -> "list[GroupSummary]":
        async with invocation.admin() as admin:
            return await admin.list_groups()

    rows = [_row(group) for group in invocation.run(work())]
    invocation.output.items(rows, _COLUMNS, name="group")


@groups.command("describe")
@click.argument("group", type=GROUP)
@click.pass_obj
def describe(invocation: Invocation, group: str) -> None:
    """One group: committed offsets, consumers, rewinds, and what it replays."""

    async def work() -> "GroupDescription":
        async with invocation.admin() as admin:
            return await admin.describe_group(group)

    found = invocation.run(work())
    row = _row(found.group) | {
        "rewind_epoch": found.rewind_epoch,
        "replays": None if found.replay is None else _replays(found.replay),
        "coordinator_partition": found.coordinator_partition,
        "offsets": [
            {
                "topic": each.topic or each.topic_id.hex(),
                "partition": each.partition,
                "committed": each.offset,
                "leader_epoch": each.leader_epoch,
                "metadata": each.metadata,
                "committed_at": format_time(each.committed_ms) if each.committed_ms else None,
            }
            for each in found.offsets
        ],
        "consumers": [
            {
                "consumer_id": each.consumer_id,
                "peer": each.peer,
                "seen": format_time(each.seen_ms),
                "partitions": [
                    f"{topic}:{number}"
                    for topic, numbers in each.partitions.items()
                    for number in numbers
                ],
            }
            for each in found.consumers
        ],
    }
    invocation.output.item(row, _LINES, "group", (_OFFSETS, _CONSUMERS))


def _replays(replay: "ReplayStatus") -> str:
    """A fork in one line."""
    until = "on" if replay.until_ms is None else f"to {format_time(replay.until_ms)}"
    clock = "" if replay.clock_ms is None else f", now at {format_time(replay.clock_ms)}"
    speed, begin = format_speed(replay.speed), format_time(replay.from_ms)
    return f"{replay.source} from {begin} {until}, speed {speed}{clock}"


@groups.command(
    "lag",
    epilog="""\b
    Examples:
      logctl groups lag
      logctl groups lag billing
      logctl groups lag billing --watch
      logctl groups lag billing -o json""",
)
@click.argument("group", type=GROUP, required=False)
@click.option("--watch", is_flag=True, help="Again every two seconds, until Ctrl-C.")
@click.pass_obj
def lag(invocation: Invocation, group: str | None, watch: bool) -> None:
    """What a group has yet to read, and why; without a group, totals of all.

    BYTES is approximate; SECONDS is the age of the next unread record, of all groups that of the
    partition that lags most (WORST), with its reason.
    """

    import asyncio

    async def work() -> None:
        async with invocation.admin() as admin:
            await _print_lag(invocation, admin, group)
            while watch:
                await asyncio.sleep(WATCH_INTERVAL_S)
                await _print_lag(invocation, admin, group, clear=invocation.output.is_terminal)

    invocation.run(work())


async def _print_lag(
    invocation: Invocation, admin: "Admin", group: str | None, clear: bool = False
) -> None:
    if group is None:
        rows = await _lag_of_all(admin)
    else:
        rows = [_lag_row(each) for each in await admin.group_lag(group)]
    output = invocation.output
    if clear:
        output.stream.write("\x1b[H\x1b[2J")
    output.items(rows, *((_LAG_OF_ALL, "group") if group is None else (_LAG, "id")))
    output.stream.flush()


async def _lag_of_all(admin: "Admin") -> list[Json]:
    """A row for each group; one that is deleted meanwhile has none."""
    import asyncio

    from logd.model.errors import UnknownGroup

    async def lag_of(group: str) -> Json | None:
        try:
            return _total_row(group, await admin.group_lag(group))
        except UnknownGroup:
            return None

    names = [each.group for each in await admin.list_groups()]
    rows: list[Json | None] = []
    for start in range(0, len(names), GROUPS_AT_ONCE):
        rows += await asyncio.gather(*map(lag_of, names[start : start + GROUPS_AT_ONCE]))
    return [row for row in rows if row is not None]


@groups.command("delete")
@click.argument("group", type=GROUP)
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--validate-only", is_flag=True, help="Check, and change nothing.")
@click.pass_obj
def delete(invocation: Invocation, group: str, yes: bool, validate_only: bool) -> None:
    """Forget a group and its committed offsets."""

    async def work(only: bool) -> int:
        async with invocation.admin() as admin:
            return await admin.delete_group(group, validate_only=only)

    count = invocation.run(work(True))
    if not validate_only:
        invocation.confirm(
            f"{counted(count, 'committed offset')} of '{group}' will be deleted", group, yes
        )
        count = invocation.run(work(False))
    row = {"group": group, "offsets": count, "deleted": not validate_only}
    lines = (
        Column("group", "group", "name"),
        Column("offsets", "offsets"),
        Column("deleted", "deleted"),
    )
    invocation.output.item(row, lines, name="group")


def _row(group: "GroupSummary") -> Json:
    return {
        "group": group.group,
        "state": group.state,
        "consumer_count": group.consumers,
        "topics": list(group.topics),
        "committed_at": format_time(group.committed_ms) if group.committed_ms else None,
    }


def _total_row(group: str, partitions: "Sequence[PartitionLag]") -> Json:
    """`worst` is the partition whose next unread record is oldest; among those that are read to
    the end, one that has something to say."""
    worst = max(
        partitions,
        key=lambda each: (each.lag_seconds, each.lag_records, each.reason != "caught up"),
        default=None,
    )
    return {
        "group": group,
        "lag_records": sum(each.lag_records for each in partitions),
        "lag_bytes": sum(each.lag_bytes for each in partitions),
        "lag_seconds": worst.lag_seconds if worst else 0.0,
        "worst": f"{worst.topic}:{worst.partition}" if worst else None,
        "reason": worst.reason if worst else None,
    }


def _lag_row(each: "PartitionLag") -> dict[str, Any]:
    return {
        "id": f"{each.topic}:{each.partition}",
        "topic": each.topic,
        "partition": each.partition,
        "committed": each.committed,
        "high_watermark": each.high_watermark,
        "log_start_offset": each.log_start_offset,
        "lag_records": each.lag_records,
        "lag_bytes": each.lag_bytes,
        "lag_seconds": each.lag_seconds,
        "rate": each.rate,
        "catch_up_seconds": each.catch_up_seconds,
        "reason": each.reason,
    }
