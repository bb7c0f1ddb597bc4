"""`logctl groups`: list, describe, lag, delete. Rewinding is in `group_reset`."""

from typing import TYPE_CHECKING, Any

import click

from logd.cli.group_reset import history, reset, undo
from logd.cli.invocation import Invocation, NounGroup
from logd.cli.output import Column, Json, Section, counted
from logd.cli.parsed_type import GROUP
from logd.cli.times import format_time

if TYPE_CHECKING:
    from logd_client import Admin
    from logd_client.descriptions import GroupDescription, GroupSummary, PartitionLag

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
    Column("RATE", "rate", "number", wide=True),
    Column("CATCH_UP", "catch_up_seconds", "seconds", wide=True),
    Column("REASON", "reason", "state"),
)


@click.group(cls=NounGroup)
def groups() -> None:
    """Consumer groups: lag, rewinding, history."""


groups.add_command(reset)
groups.add_command(undo)
groups.add_command(history)


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
    """One group: committed offsets, consumers, rewinds."""

    async def work() -> "GroupDescription":
        async with invocation.admin() as admin:
            return await admin.describe_group(group)

    found = invocation.run(work())
    row = _row(found.group) | {
        "rewind_epoch": found.rewind_epoch,
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


@groups.command(
    "lag",
    epilog="""\b
    Examples:
      logctl groups lag billing
      logctl groups lag billing --watch
      logctl groups lag billing -o json""",
)
@click.argument("group", type=GROUP)
@click.option("--watch", is_flag=True, help="Again every two seconds, until Ctrl-C.")
@click.pass_obj
def lag(invocation: Invocation, group: str, watch: bool) -> None:
    """What a group has yet to read, and why.

    BYTES is approximate to one index interval; SECONDS is the age of the next unread record.
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
    invocation: Invocation, admin: "Admin", group: str, clear: bool = False
) -> None:
    rows = [_lag_row(each) for each in await admin.group_lag(group)]
    if clear:
        invocation.output.stream.write("\x1b[H\x1b[2J")
    invocation.output.items(rows, _LAG, name="id")
    invocation.output.stream.flush()


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
