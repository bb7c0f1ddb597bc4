"""`logctl consume`: records of topics to stdout."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from logd.cli.error_report import BadUsage
from logd.cli.invocation import CLIENT_ID, Invocation, LogctlCommand
from logd.cli.parsed_type import (
    GROUP,
    PAIR,
    PARTITIONS,
    TOPIC_PARTITIONS,
    ParsedType,
    TopicPartitions,
    partitions_by_topic,
)
from logd.cli.position import BY_OPTION, POSITION, Position
from logd.cli.read_range import ReadBounds, ReadRange
from logd.cli.record_filter import RecordFilter, parse_pattern
from logd.cli.record_template import RecordTemplate, parse_template


@click.command(
    cls=LogctlCommand,
    epilog="""\b
    Examples:
      logctl consume orders --from @-15m
      logctl consume orders --from @2025-03-01 --to @2025-03-02
      logctl consume visits --from @2025-03-01 --by record-time -e   (docs/times.md)
      logctl consume orders -e -o jsonl > orders.jsonl
      logctl consume orders -g billing -n 100
      logctl consume orders:0,2-4 --from -5 --format '%t:%p@%o %k=%v\\n'
      logctl consume orders payments --grep 'card.*declined' --header region=eu

    Fields of --format: %t topic, %p partition, %o offset, %k key, %v value, %h headers,
    %T timestamp; escapes \\n \\t \\0 \\xNN. A key or value that is none prints as null:
    -o jsonl tells it from that text. A TIME without a zone is UTC.""",
)
@click.argument(
    "topics", type=TOPIC_PARTITIONS, nargs=-1, required=True, metavar="TOPIC[:PARTITIONS].."
)
@click.option("--from", "start", type=POSITION, metavar="POSITION",
              help="earliest, latest, an offset, -N for the last N of each partition, @TIME or "
              "@-15m; earliest if not given. With -g only where nothing is committed.")  # fmt: skip
@click.option("--to", "end", type=POSITION, metavar="POSITION",
              help="Stop before this: end (as it is now), an offset, or @TIME; where the log does "
              "not reach it yet, wait for it.")  # fmt: skip
@BY_OPTION
@click.option("-e", "--exit-at-end", is_flag=True, help="Stop at the end as it is now, or at --to.")
@click.option(
    "-n", "--count", type=click.IntRange(0), metavar="N", help="Stop after so many records."
)
@click.option(
    "-p", "--partitions", type=PARTITIONS, metavar="0,2-4", help="Only these, of each topic."
)
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
    topics: tuple[TopicPartitions, ...],
    partitions: tuple[int, ...] | None,
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
    if end is not None and end.kind == "last":
        raise BadUsage("--to takes end, an offset or @TIME, not a count")
    if template is not None and invocation.output.chosen:
        raise BadUsage("--format says how to print records, and so does -o: give one of them")
    if more["no_commit"] and more["group"] is None:
        raise BadUsage("--no-commit goes with a group: name it with -g")
    wanted = partitions_by_topic(topics)
    if partitions is not None:
        if any(each.partitions for each in topics):
            raise BadUsage(
                "-p says which partitions, and so does TOPIC:PARTITIONS: give one of them"
            )
        wanted = {topic: list(partitions) for topic in wanted}
    bounds = ReadBounds(start and start.by(by), end and end.by(by), exit_at_end)
    invocation.run(_consume(invocation, wanted, bounds, template, **more))


async def _consume(
    invocation: Invocation,
    wanted: Mapping[str, Sequence[int]],
    bounds: ReadBounds,
    template: RecordTemplate | None,
    *,
    count: int | None,
    group: str | None,
    no_commit: bool,
    grep: Any,
    key: str | None,
    header: tuple[tuple[str, str], ...],
) -> None:
    from logd.cli.record_reader import GroupStart, RecordReader
    from logd.cli.record_writer import RecordWriter
    from logd_client import Consumer

    if group is not None:
        invocation.last_work = f"the last commit of group '{group}'"
    began_ms = invocation.clock.wall_ms()
    ranges = await bounds.ranges(invocation, wanted, group, began_ms)
    is_member = group is not None and not no_commit and not any(wanted.values())
    begin = GroupStart(ranges)
    consumer = Consumer(
        *wanted,
        bootstrap_servers=invocation.bootstrap,
        client_id=CLIENT_ID,
        group_id=group,
        partitions=None if is_member else _all_named(wanted, ranges, group),
        auto_offset_reset="earliest",
        enable_auto_commit=group is not None and not no_commit,
        on_assigned=begin.assigned if is_member else None,
    )
    begin.consumer = consumer
    reader = RecordReader(
        consumer,
        RecordWriter(invocation.output, template),
        RecordFilter(grep, key, header),
        count=count,
        coming=bounds.coming(invocation, ranges, began_ms),
        is_member=is_member,
    )
    reader.begin(ranges)
    async with consumer:
        await reader.read()


def _all_named(
    wanted: Mapping[str, Sequence[int]], ranges: Sequence[ReadRange], group: str | None
) -> dict[str, list[int]]:
    """Who looks at a group without joining it names all partitions; else those that are added
    later are read too."""
    if group is None:
        return {topic: list(named) for topic, named in wanted.items() if named}
    return {topic: [r.partition for r in ranges if r.topic == topic] for topic in wanted}
