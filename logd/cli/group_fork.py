"""`logctl groups fork`: a second group that replays the past."""

from typing import TYPE_CHECKING

import click

from logd.cli.group_reset import actor
from logd.cli.invocation import Invocation, LogctlCommand
from logd.cli.output import Column, counted
from logd.cli.parsed_type import GROUP, TIME, ParsedType
from logd.cli.times import format_time, parse_time
from logd.model.group_replay import SPEED_MAX, SPEED_MIN, UNPACED

if TYPE_CHECKING:
    from logd.model.group_replay import ForkPlan

_PLAN = (
    Column("TOPIC", "topic", "name"),
    Column("PARTITION", "partition", "number"),
    Column("START", "start", "number"),
    Column("END", "end", "number"),
    Column("RECORDS", "records", "number"),
    Column("BYTES", "bytes", "size"),
)


def parse_speed(text: str) -> float:
    """'1x', '10x', '0.5x', or 'max'. Raises ValueError."""
    if text == "max":
        return UNPACED
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = -1.0
    if not SPEED_MIN <= speed <= SPEED_MAX:  # neither is what float() takes for no number
        raise ValueError(
            f"'{text}' is no speed: write 1x for the pace that the records were written at, 10x "
            "for ten times that, or max"
        )
    return speed


def format_speed(speed: float) -> str:
    return "max" if speed == UNPACED else f"{speed:g}x"


@click.command(
    "fork",
    cls=LogctlCommand,
    epilog="""\b
    Examples:
      logctl groups fork billing --as march --at 2025-03-01 --until 2025-04-01
      logctl groups fork billing --as rehearsal --at @-1h --speed 10x
      logctl consume orders -g rehearsal""",
)
@click.argument("group", type=GROUP)
@click.option("--as", "to", type=GROUP, required=True, metavar="NEW", help="The group to make.")
@click.option("--at", type=TIME, required=True, metavar="TIME",
              help="From the first record appended then or later; UTC without a zone.")  # fmt: skip
@click.option("--until", type=TIME, metavar="TIME",
              help="Up to the first record appended then or later; else without end.")  # fmt: skip
@click.option("--speed", type=ParsedType("speed", parse_speed), default="max", show_default=True,
              metavar="SPEED", help="1x: at the pace it was written; 10x; max.")  # fmt: skip
@click.option("--validate-only", is_flag=True, help="Print the plan, and make nothing.")
@click.pass_obj
def fork(
    invocation: Invocation,
    /,
    group: str,
    to: str,
    at: str,
    until: str | None,
    speed: float,
    validate_only: bool,
) -> None:
    """Make a second group that replays the past of a group's topics.

    GROUP goes on untouched. Consumers join NEW as they join any group, share what is replayed, and
    with --until their loops end when all of it is read. The pace is kept from the first that joins
    on.
    """
    now_ms = invocation.clock.wall_ms()
    at_ms, until_ms = parse_time(at, now_ms), None if until is None else parse_time(until, now_ms)

    async def work() -> "ForkPlan":
        async with invocation.admin() as admin:
            return await admin.fork_group(
                group, to, at_ms, until_ms, speed, validate_only=validate_only, actor=actor()
            )

    plan = invocation.run(work())
    rows = [
        {
            "id": f"{each.topic}:{each.partition}",
            "topic": each.topic,
            "partition": each.partition,
            "start": each.start,
            "end": each.end,
            "records": each.records,
            "bytes": each.size_bytes,
        }
        for each in plan.partitions
    ]
    invocation.output.items(
        rows,
        _PLAN,
        "id",
        group=to,
        source=group,
        executed=plan.executed,
        at=format_time(at_ms),
        until=None if until_ms is None else format_time(until_ms),
        first_record_at=format_time(plan.from_ms),
        speed=format_speed(speed),
    )
    records = counted(sum(each.records for each in plan.partitions), "record")
    first = f"the first was appended at {format_time(plan.from_ms)}"
    if plan.executed:
        invocation.note(f"group '{to}' replays {records}; {first}")
        invocation.note(f"read it: logctl consume TOPIC -g {to}")
    else:
        invocation.note(f"group '{to}' would replay {records}; {first}")
