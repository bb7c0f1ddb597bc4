"""`logctl consume`: records of topics to stdout."""

from typing import TYPE_CHECKING, Any

import click

from logd.cli.error_report import BadUsage
from logd.cli.invocation import CLIENT_ID, Invocation, LogctlCommand
from logd.cli.parsed_type import GROUP, PAIR, PARTITIONS, TOPIC, ParsedType
from logd.cli.position import BY_OPTION, POSITION, Position, parse_position
from logd.cli.record_filter import RecordFilter, parse_pattern
from logd.cli.record_template import RecordTemplate, parse_template

if TYPE_CHECKING:
    from logd.cli.read_range import ReadRange

_EARLIEST = parse_position("earliest")


@click.command(
    cls=LogctlCommand,
    epilog="""\b
    Examples:
      logctl consume orders --from @-15m
      logctl consume orders --from @2025-03-01 --to @2025-03-02 --by record-time
      logctl consume orders -e -o jsonl > orders.jsonl
      logctl consume orders -g billing -n 100
      logctl consume orders --from -5 -p 0,2-4 --format '%t:%p@%o %k=%v\\n'
      logctl consume orders payments --grep 'card.*declined' --header region=eu

    Fields of --format: %t topic, %p partition, %o offset, %k key, %v value, %h headers,
    %T timestamp; escapes \\n \\t \\0 \\xNN. A key or value that is none prints as null.""",
)
@click.argument("topics", type=TOPIC, nargs=-1, required=True, metavar="TOPIC..")
@click.option("--from", "start", type=POSITION, metavar="POSITION",
              help="earliest, latest, an offset, -N for the last N of each partition, @TIME or "
              "@-15m; earliest if not given. With -g only where nothing is committed.")  # fmt: skip
@click.option("--to", "end", type=POSITION, metavar="POSITION",
              help="Stop before this: end (as it is now), an offset, or @TIME.")  # fmt: skip
@BY_OPTION
@click.option("-e", "--exit-at-end", is_flag=True, help="Stop at the end as it is now.")
@click.option(
    "-n", "--count", type=click.IntRange(0), metavar="N", help="Stop after so many records."
)
@click.option("-p", "--partitions", type=PARTITIONS, metavar="0,2-4", help="Only these.")
@click.option("-g", "--group", type=GROUP, help="Go on where this group is, and commit.")
@click.option("--no-commit", is_flag=True, help="Leave the group where it is.")
@click.option("--format", "template", type=ParsedType("format", parse_template), metavar="FORMAT",
              help="How to print a record, as '%t:%p@%o %k=%v\\n'.")  # fmt: skip
@click.option("--grep", type=ParsedType("pattern", parse_pattern), metavar="RE",
              help="Only records whose value matches.")  # fmt: skip
@click.option("--key", help="Only records with this key.")
@click.option("--header", type=PAIR, multiple=True, metavar="NAME=VALUE",
              help="Only records with this header; repeatable.")  # fmt: skip
@click.pass_obj
def consume(
    invocation: Invocation,
    /,
    topics: tuple[str, ...],
    start: Position | None,
    end: Position | None,
    by: str | None,
    exit_at_end: bool,
    template: RecordTemplate | None,
    **more: Any,
) -> None:
    """Read records from topics.

    From the start, and then on and on until Ctrl-C, unless -e, --to or -n says where to stop.
    Prints each value and a newline; in a pipe bytes go through as they are.
    """
    if exit_at_end and end is not None:
        raise BadUsage("-e is --to end: give one of them")
    if end is not None and end.kind == "last":
        raise BadUsage("--to takes end, an offset or @TIME, not a count")
    if template is not None and invocation.output.chosen:
        raise BadUsage("--format says how to print records, and so does -o: give one of them")
    if more["no_commit"] and more["group"] is None:
        raise BadUsage("--no-commit goes with a group: name it with -g")
    start = start and start.by(by)
    end = parse_position("end") if exit_at_end else end and end.by(by)
    invocation.run(_consume(invocation, dict.fromkeys(topics), start, end, template, **more))


async def _consume(
    invocation: Invocation,
    topics: dict[str, None],
    start: Position | None,
    end: Position | None,
    template: RecordTemplate | None,
    *,
    count: int | None,
    partitions: tuple[int, ...] | None,
    group: str | None,
    no_commit: bool,
    grep: Any,
    key: str | None,
    header: tuple[tuple[str, str], ...],
) -> None:
    from logd.cli.record_reader import RecordReader
    from logd.cli.record_writer import RecordWriter
    from logd_client import Consumer

    if group is not None:
        invocation.last_work = f"the last commit of group '{group}'"
    ranges = await _ranges(invocation, list(topics), partitions, group, start, end)
    consumer = Consumer(
        *topics,
        bootstrap_servers=invocation.bootstrap,
        client_id=CLIENT_ID,
        group_id=group,
        partitions=partitions,
        auto_offset_reset="earliest",
        enable_auto_commit=group is not None and not no_commit,
    )
    reader = RecordReader(
        consumer,
        RecordWriter(invocation.output, template),
        RecordFilter(grep, key, header),
        count=count,
    )
    reader.begin(ranges)
    async with consumer:
        await reader.read()


async def _ranges(
    invocation: Invocation,
    topics: list[str],
    wanted: tuple[int, ...] | None,
    group: str | None,
    start: Position | None,
    end: Position | None,
) -> "list[ReadRange]":
    """Where each partition starts (None: where the group is) and ends (None: never)."""
    from logd.cli.read_range import ReadRange, partitions_of

    now_ms = invocation.clock.wall_ms()
    ranges: list[ReadRange] = []
    async with invocation.admin() as admin:
        for topic in topics:
            numbers = await partitions_of(admin, topic, wanted)
            committed = {}
            if group is not None:
                found = await admin.fetch_offsets(group, {topic: numbers})
                committed = {each.partition: each.offset for each in found}
            free = [number for number in numbers if committed.get(number) is None]
            starts = await (start or _EARLIEST).resolve(admin, topic, free, now_ms) if free else {}
            ends = await end.resolve(admin, topic, numbers, now_ms) if end else {}
            for number in numbers:
                at = starts.get(number), committed.get(number), ends.get(number)
                ranges.append(ReadRange(topic, number, *at))
    return ranges
