"""`logctl groups reset | undo | history`: rewinding a group."""

import getpass
import json
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from logd.cli.error_report import BadUsage
from logd.cli.invocation import DEFAULT_BOOTSTRAP, Invocation, LogctlCommand
from logd.cli.output import Column, Json, counted
from logd.cli.parsed_type import (
    DURATION,
    GROUP,
    TIME,
    TOPIC_PARTITIONS,
    TopicPartitions,
    partitions_by_topic,
)
from logd.cli.position import BY_OPTION
from logd.cli.times import format_time, parse_time

if TYPE_CHECKING:
    from logd.model.group import PlannedReset, ResetEvent, ResetPlan
    from logd_client.descriptions import ResetTarget

PLAN_FILE_BYTES_MAX = 16 << 20
_PLAN = (
    Column("TOPIC", "topic", "name"),
    Column("PARTITION", "partition", "number"),
    Column("FROM", "from_offset", "number"),
    Column("TO", "to_offset", "number"),
    Column("REPLAY", "replay_records", "number"),
    Column("BYTES", "replay_bytes", "size"),
    Column("CLAMPED", "clamped"),
    Column("SKIPPED", "skipped"),
)
_HISTORY = (
    Column("EPOCH", "rewind_epoch", "number"),
    Column("AT", "at"),
    Column("KIND", "kind"),
    Column("WHAT", "description"),
    Column("BY", "actor"),
    Column("PARTITIONS", "partition_count", "number"),
    Column("REPLAY", "replay_records", "number"),
)


_EXECUTE = click.option("--execute", is_flag=True, help="Apply the plan; else only print it.")


@click.command(
    "reset",
    cls=LogctlCommand,
    epilog="""\b
    Examples:
      logctl groups reset billing --all-topics --to-earliest
      logctl groups reset billing --topic orders --to-datetime 2025-03-01T12:00:00 --execute
      logctl groups reset billing --topic orders:0,2 --by-duration 1h30m --execute
      logctl groups reset billing --topic orders --to-datetime 2025-03-01 --by record-time
      logctl groups reset billing --topic orders --shift-by -100
      logctl groups reset billing --from-file plan.json --execute

    A plan file is what -o json prints (topic, partition, to_offset), or lines of
    topic,partition,offset.""",
)
@click.argument("group", type=GROUP)
@click.option("--topic", "topics", type=TOPIC_PARTITIONS, multiple=True,
              metavar="TOPIC[:PARTITIONS]", help="These partitions; repeatable.")  # fmt: skip
@click.option("--all-topics", is_flag=True, help="All that the group has committed.")
@click.option("--to-earliest", is_flag=True, help="To the start of the log.")
@click.option("--to-latest", is_flag=True, help="To its end.")
@click.option("--to-current", is_flag=True, help="To where the group is: commits it everywhere.")
@click.option("--to-offset", type=int, metavar="N", help="To this offset.")
@click.option("--to-datetime", type=TIME, metavar="TIME",
              help="To the first record of then or later; UTC without a zone.")  # fmt: skip
@click.option("--by-duration", type=DURATION, metavar="DURATION", help="To so long ago.")
@BY_OPTION
@click.option("--shift-by", type=int, metavar="N", help="So many records on, or back (-N).")
@click.option("--to-group", type=GROUP, metavar="GROUP", help="To where another group is.")
@click.option("--from-file", type=click.Path(exists=True, dir_okay=False), metavar="PLAN",
              help="To the positions of a plan.")  # fmt: skip
@click.option("--create", is_flag=True, help="Make the group if it does not exist.")
@_EXECUTE
@click.pass_obj
def reset(
    invocation: Invocation,
    /,
    group: str,
    topics: tuple[TopicPartitions, ...],
    all_topics: bool,
    by: str | None,
    create: bool,
    execute: bool,
    **forms: Any,
) -> None:
    """Rewind a group, running or not, all partitions at once.

    The broker plans it: positions outside the log are moved into it, and the plan says so. Without
    --execute nothing changes. Running consumers go on from the new position.
    """
    target = _target(invocation, forms, by)
    if target.to == "plan" and (topics or all_topics):
        raise BadUsage("--from-file names its own partitions: leave --topic and --all-topics out")
    if target.to != "plan" and bool(topics) == all_topics:
        raise BadUsage(
            "which partitions: --topic TOPIC[:PARTITIONS] (repeatable) or --all-topics",
            attempt=f"logctl groups describe {group} shows what it has committed",
        )
    wanted = partitions_by_topic(topics) if topics else None

    async def work() -> "ResetPlan":
        async with invocation.admin() as admin:
            return await admin.reset_offsets(
                group, target, wanted, execute=execute, create=create, actor=actor()
            )

    own = target.to in ("record_time", "record_duration")
    _print_plan(invocation, group, invocation.run(work()), by_record_time=own)


@click.command("undo", cls=LogctlCommand)
@click.argument("group", type=GROUP)
@_EXECUTE
@click.pass_obj
def undo(invocation: Invocation, group: str, execute: bool) -> None:
    """Undo the group's latest rewind."""

    async def work() -> "ResetPlan":
        async with invocation.admin() as admin:
            return await admin.undo_reset(group, execute=execute, actor=actor())

    _print_plan(invocation, group, invocation.run(work()), undoes=True)


@click.command("history", cls=LogctlCommand)
@click.argument("group", type=GROUP)
@click.pass_obj
def history(invocation: Invocation, group: str) -> None:
    """A group's rewinds and undos, latest first."""

    async def work() -> "list[ResetEvent]":
        async with invocation.admin() as admin:
            return await admin.group_history(group)

    rows = [
        {
            "rewind_epoch": event.rewind_epoch,
            "at": format_time(event.at_ms),
            "kind": event.kind,
            "description": event.description,
            "actor": event.actor,
            "partition_count": len(event.partitions),
            "replay_records": sum(each.replay_records for each in event.partitions),
            "partitions": [_plan_row(each) for each in event.partitions],
        }
        for event in invocation.run(work())
    ]
    invocation.output.items(rows, _HISTORY, name="rewind_epoch")


def _target(invocation: Invocation, forms: dict[str, Any], by: str | None = None) -> "ResetTarget":
    """The one form that was given; `by` belongs to the two that name a time."""
    from logd_client.descriptions import ResetTarget

    given = {
        name: value for name, value in forms.items() if value is not None and value is not False
    }
    if len(given) != 1:
        flags = ", ".join("--" + name.replace("_", "-") for name in given or forms)
        raise BadUsage(f"give exactly one of {flags}")
    ((name, value),) = given.items()
    if by is not None and name not in ("to_datetime", "by_duration"):
        raise BadUsage("--by says which time --to-datetime or --by-duration means: give one")
    by_record_time = by == "record-time"
    match name:
        case "to_earliest":
            return ResetTarget.earliest()
        case "to_latest":
            return ResetTarget.latest()
        case "to_current":
            return ResetTarget.current()
        case "to_offset":
            return ResetTarget.at_offset(value)
        case "to_datetime":
            at = ResetTarget.at_record_time if by_record_time else ResetTarget.at_time
            return at(parse_time(value, invocation.clock.wall_ms()))
        case "by_duration":
            since = ResetTarget.by_record_duration if by_record_time else ResetTarget.by_duration
            return since(value)
        case "shift_by":
            return ResetTarget.shift_by(value)
        case "to_group":
            return ResetTarget.to_group(value)
        case _:
            return ResetTarget.plan(read_plan(Path(value)))


def read_plan(file: Path) -> list[tuple[str, int, int]]:
    """(topic, partition, offset) of a plan file: JSON, JSON lines, or topic,partition,offset."""
    if file.stat().st_size > PLAN_FILE_BYTES_MAX:
        raise BadUsage(f"{file} is larger than a plan may be ({PLAN_FILE_BYTES_MAX} bytes)")
    try:
        return [_plan_entry(entry) for entry in _plan_entries(file.read_text("utf-8"))]
    except (ValueError, KeyError, TypeError) as error:
        raise BadUsage(
            f"{file} is no plan: {type(error).__name__} {error}",
            attempt="write what `logctl groups reset ... -o json` prints, or lines of "
            "topic,partition,offset",
        ) from None


def _plan_entries(text: str) -> list[Any]:
    lines = [line for line in text.splitlines() if line.strip()]
    if not text.lstrip().startswith(("{", "[")):
        return [line.rsplit(",", 2) for line in lines]
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        return [json.loads(line) for line in lines]
    if isinstance(whole, list):
        return whole
    return list(whole["items"]) if "items" in whole else [whole]


def _plan_entry(entry: Any) -> tuple[str, int, int]:
    if isinstance(entry, list):
        topic, partition, offset = entry
    else:
        topic, partition = entry["topic"], entry["partition"]
        offset = entry["to_offset"] if "to_offset" in entry else entry["offset"]
    return str(topic).strip(), _number(partition), _number(offset)


def _number(value: Any) -> int:
    """Of a line of text, or of JSON, where it is one: 1.5 is not 1."""
    return int(value) if isinstance(value, str) else operator.index(value)


def actor() -> str:
    """Who runs logctl, for the history."""
    try:
        return f"logctl:{getpass.getuser()}"
    except (KeyError, OSError):
        return "logctl"


def _print_plan(
    invocation: Invocation,
    group: str,
    plan: "ResetPlan",
    *,
    undoes: bool = False,
    by_record_time: bool = False,
) -> None:
    """`undoes`: the plan is itself an undo, which no other undo takes back."""
    rows = [_plan_row(each) for each in plan.partitions]
    elsewhere = f" -b {invocation.bootstrap}" if invocation.bootstrap != DEFAULT_BOOTSTRAP else ""
    undo_command = f"logctl groups undo {group} --execute{elsewhere}"
    at = None if plan.at_ms is None else format_time(plan.at_ms)
    invocation.output.items(
        rows,
        _PLAN,
        "id",
        group=group,
        executed=plan.executed,
        creates_group=plan.creates_group,
        rewind_epoch=plan.rewind_epoch,
        at=at,
        undo=undo_command if plan.executed and not undoes else None,
    )
    if at:
        which = "the records' own time" if by_record_time else "the time of append"
        invocation.note(f"the moment was taken as {at}, {which}")
    if plan.creates_group and not plan.executed:
        invocation.note(f"there is no group '{group}': --execute makes it")
    if clamped := sum(each.clamped for each in plan.partitions):
        invocation.note(f"moved into the log: {counted(clamped, 'position')} that lay outside it")
    if not any(each.skipped == "" for each in plan.partitions):
        invocation.note("there is nothing to change")
    elif plan.executed:
        invocation.note("applied" if undoes else f"applied; to undo it: {undo_command}")
    else:
        invocation.note("nothing was changed; add --execute to apply this plan")


def _plan_row(each: "PlannedReset") -> Json:
    return {
        "id": f"{each.topic}:{each.partition}",
        "topic": each.topic,
        "partition": each.partition,
        "from_offset": each.from_offset,
        "to_offset": each.to_offset,
        "replay_records": each.replay_records,
        "replay_bytes": each.replay_bytes,
        "clamped": each.clamped,
        "skipped": each.skipped or None,
    }
