"""`logctl groups members` and `why`: who shares a group, and what holds it up."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from logd.cli.invocation import Invocation, LogctlCommand
from logd.cli.output import Column, Json
from logd.cli.parsed_type import GROUP
from logd.cli.times import format_time

if TYPE_CHECKING:
    from logd.model.group import PartitionLag
    from logd_client.descriptions import GroupConsumer, GroupDescription

_MEMBERS = (
    Column("MEMBER", "consumer_id", "name"),
    Column("INSTANCE", "instance_id"),
    Column("PEER", "peer"),
    Column("STATE", "state", "state"),
    Column("PARTITIONS", "partitions"),
    Column("GIVING_UP", "giving_up"),
    Column("WAITING_FOR", "waiting_for"),
    Column("SUBSCRIBES_TO", "subscribes_to", wide=True),
    Column("ASSIGNOR", "assignor", wide=True),
    Column("SEEN", "seen", wide=True),
)
_WHY = (
    Column("WHAT", "what", "name"),
    Column("LAG", "lag_records", "number"),
    Column("SECONDS", "lag_seconds", "seconds"),
    Column("WHY", "reason", "state"),
    Column("TRY", "advice"),
)
ADVICE = {
    "below the log start": "keep records longer (`logctl topics set TOPIC retention_ms=..`); those "
    "are gone",
    "offset out of range": "the log was cut or restored: `logctl groups reset {group} "
    "--topic {what} --to-latest`",
    "no member": "start a consumer of the group",
    "rebalancing": "wait: it is on its way",
    "waiting for partition": "wait: its keys' earlier records stand there",
    "waiting for": "wait: it moves once that member has finished, or its time is over",
    "paused": "its application has paused it: resume it there",
    "cannot read on": "see that consumer's log; to pass the record give it on_undecodable=skip, or "
    "reset the group behind that offset",
    "offset": "see the error in that consumer's log; `logctl consume {what} --from {offset} -n 1` "
    "shows the record",
    "blocked on offset": "see what that consumer does with this record; `logctl consume {what} "
    "--from {offset} -n 1` shows it",
    "nothing committed": "wait for its first commit",
    "reading": "wait, or start more consumers, up to one a partition",
}
"""What to do, by how a reason begins."""


@click.command("members", cls=LogctlCommand)
@click.argument("group", type=GROUP)
@click.pass_obj
def members(invocation: Invocation, group: str) -> None:
    """Who shares a group, and what each has, gives up and waits for.

    Consumers that name their partitions themselves are no members; they are listed for 30 s after
    they were heard of.
    """
    found = invocation.run(_described(invocation, group))
    rows = [_member_row(each) for each in found.consumers]
    invocation.output.items(rows, _MEMBERS, name="consumer_id")


@click.command("why", cls=LogctlCommand)
@click.argument("group", type=GROUP)
@click.pass_obj
def why(invocation: Invocation, group: str) -> None:
    """What holds a group up, the worst first, and what to do."""

    async def work() -> "tuple[GroupDescription, list[PartitionLag]]":
        async with invocation.admin() as admin:
            return await admin.describe_group(group), await admin.group_lag(group)

    found, lags = invocation.run(work())
    behind = [each for each in lags if each.reason != "caught up"]
    behind.sort(key=lambda each: (-each.lag_seconds, -each.lag_records))
    count = sum(each.member for each in found.consumers)
    said = f"{group} is {found.group.state}: {count} members, {len(lags)} partitions, "
    invocation.note(said + (f"{len(behind)} behind" if behind else "all caught up"))
    rows = [_why_row(group, each) for each in behind]
    invocation.output.items(rows, _WHY, name="what")


async def _described(invocation: Invocation, group: str) -> "GroupDescription":
    async with invocation.admin() as admin:
        return await admin.describe_group(group)


def _member_row(each: "GroupConsumer") -> Json:
    state = "connected" if each.connected else "away"
    if not each.member:
        state = "no member"
    elif each.stalled_ms:
        state = f"stalled for {each.stalled_ms // 1000} s"
    return {
        "consumer_id": each.consumer_id,
        "instance_id": each.instance_id or None,
        "client_id": each.client_id,
        "peer": each.peer,
        "state": state,
        "member": each.member,
        "connected": each.connected,
        "stalled_seconds": each.stalled_ms / 1000,
        "partitions": names_of(each.partitions),
        "giving_up": names_of(each.giving_up),
        "waiting_for": names_of(each.waiting_for),
        "subscribes_to": [*each.topics, *([f"/{each.pattern}/"] if each.pattern else [])],
        "assignor": each.assignor or None,
        "seen": format_time(each.seen_ms),
    }


def _why_row(group: str, each: "PartitionLag") -> Json:
    what = f"{each.topic}:{each.partition}"
    offset = each.log_start_offset if each.committed is None else each.committed
    reason = each.reason.removeprefix(f"{each.consumer_id} ")
    advice = next((text for begins, text in ADVICE.items() if reason.startswith(begins)), "")
    return {
        "what": what,
        "topic": each.topic,
        "partition": each.partition,
        "lag_records": each.lag_records,
        "lag_seconds": each.lag_seconds,
        "records_lost": each.records_lost,
        "consumer_id": each.consumer_id or None,
        "reason": each.reason,
        "advice": advice.format(group=group, what=what, offset=offset),
    }


def names_of(partitions: Mapping[str, tuple[int, ...]]) -> list[str]:
    """'TOPIC:PARTITION' of each."""
    return [f"{topic}:{number}" for topic, numbers in partitions.items() for number in numbers]
