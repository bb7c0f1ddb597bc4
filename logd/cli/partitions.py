"""`logctl partitions`."""

from typing import TYPE_CHECKING

import click

from logd.cli.error_report import BadUsage
from logd.cli.invocation import Invocation, NounGroup
from logd.cli.output import Column, Json
from logd.cli.parsed_type import TOPIC, TOPIC_PARTITIONS, TopicPartitions
from logd.cli.position import BY_OPTION, POSITION, Position, offsets_of
from logd.cli.times import format_time

if TYPE_CHECKING:
    from logd.model.offset_spec import FoundOffset
    from logd_client.descriptions import PartitionDescription

_COLUMNS = (
    Column("TOPIC", "topic", "name"),
    Column("PARTITION", "partition", "number"),
    Column("LEADER", "leader", "number"),
    Column("EPOCH", "leader_epoch", "number"),
    Column("ISR", "isr"),
    Column("LOG_START", "log_start_offset", "number"),
    Column("HIGH_WATERMARK", "high_watermark", "number"),
    Column("LOG_END", "log_end_offset", "number", wide=True),
    Column("SYNCED_END", "synced_end_offset", "number", wide=True),
    Column("SIZE", "size_bytes", "size"),
    Column("SEGMENTS", "segments", "number", wide=True),
    Column("ERROR", "error"),
)
_LINES = (
    Column("topic", "topic", "name"),
    Column("partition", "partition"),
    Column("leader", "leader"),
    Column("leader epoch", "leader_epoch"),
    Column("in-sync replicas", "isr"),
    Column("log start offset", "log_start_offset"),
    Column("high watermark", "high_watermark"),
    Column("log end offset", "log_end_offset"),
    Column("synced end offset", "synced_end_offset"),
    Column("records", "records"),
    Column("size", "size_bytes", "size"),
    Column("segments", "segments"),
    Column("error", "error"),
)
_ENDS = (
    Column("TOPIC", "topic", "name"),
    Column("PARTITION", "partition", "number"),
    Column("EARLIEST", "earliest", "number"),
    Column("LATEST", "latest", "number"),
    Column("RECORDS", "records", "number"),
)
_AT = (
    Column("TOPIC", "topic", "name"),
    Column("PARTITION", "partition", "number"),
    Column("OFFSET", "offset", "number"),
    Column("TIMESTAMP", "timestamp"),
)


@click.group(cls=NounGroup)
def partitions() -> None:
    """The state of partitions: offsets, sizes, leaders."""


@partitions.command("ls")
@click.argument("topic", type=TOPIC, required=False)
@click.pass_obj
def ls(invocation: Invocation, topic: str | None) -> None:
    """List partitions, of one topic or of all."""
    rows = [_row(each) for each in _described(invocation, topic, ())]
    invocation.output.items(rows, _COLUMNS, name="id")


@partitions.command(
    "describe",
    epilog="""\b
    Example:
      logctl partitions describe orders:0""",
)
@click.argument("partition", type=TOPIC_PARTITIONS, metavar="TOPIC:PARTITION")
@click.pass_obj
def describe(invocation: Invocation, partition: TopicPartitions) -> None:
    """One partition: leader, replicas, offsets, size."""
    (state,) = _described(invocation, partition.topic, (partition.one,))
    invocation.output.item(_row(state), _LINES, name="id")


@partitions.command(
    "offsets",
    epilog="""\b
    Examples:
      logctl partitions offsets orders
      logctl partitions offsets orders --at @-15m
      logctl partitions offsets orders:0 --at @2025-03-01T12:00:00Z""",
)
@click.argument("topic", type=TOPIC_PARTITIONS, metavar="TOPIC[:PARTITIONS]")
@click.option("--at", type=POSITION, metavar="@TIME",
              help="Where this moment is; else both ends of the log.")  # fmt: skip
@BY_OPTION
@click.pass_obj
def offsets(
    invocation: Invocation, topic: TopicPartitions, at: Position | None, by: str | None
) -> None:
    """The ends of a topic's partitions, or where a moment is."""
    if at is not None and at.kind == "last":
        raise BadUsage("--at takes @TIME, an offset, earliest or latest")
    if at is None:
        invocation.output.items(invocation.run(_ends(invocation, topic)), _ENDS, name="id")
        return
    spec = at.by(by).spec(invocation.clock.wall_ms())

    async def work() -> "list[FoundOffset]":
        async with invocation.admin() as admin:
            numbers = topic.partitions or range(
                len((await admin.describe_topic(topic.topic)).partitions)
            )
            return await admin.list_offsets(topic.topic, dict.fromkeys(numbers, spec))

    found = invocation.run(work())
    offsets_of(found)
    rows = [
        {
            "id": f"{topic.topic}:{each.partition}",
            "topic": topic.topic,
            "partition": each.partition,
            "offset": each.offset,
            "timestamp": None if each.timestamp_ms is None else format_time(each.timestamp_ms),
        }
        for each in found
    ]
    invocation.output.items(rows, _AT, name="id")


async def _ends(invocation: Invocation, topic: TopicPartitions) -> list[Json]:
    from logd.model.offset_spec import OffsetSpec

    async with invocation.admin() as admin:
        numbers = topic.partitions or range(
            len((await admin.describe_topic(topic.topic)).partitions)
        )
        ends = OffsetSpec.earliest(), OffsetSpec.latest()
        first, last = (dict.fromkeys(numbers, spec) for spec in ends)
        earliest = offsets_of(await admin.list_offsets(topic.topic, first))
        latest = offsets_of(await admin.list_offsets(topic.topic, last))
    return [
        {
            "id": f"{topic.topic}:{number}",
            "topic": topic.topic,
            "partition": number,
            "earliest": earliest[number],
            "latest": latest[number],
            "records": latest[number] - earliest[number],
        }
        for number in numbers
    ]


def _described(
    invocation: Invocation, topic: str | None, numbers: tuple[int, ...]
) -> "list[PartitionDescription]":
    async def work() -> "list[PartitionDescription]":
        async with invocation.admin() as admin:
            return await admin.describe_partitions(topic, numbers)

    return invocation.run(work())


def _row(each: "PartitionDescription") -> Json:
    return {
        "id": f"{each.topic}:{each.partition}",
        "topic": each.topic,
        "topic_id": each.topic_id.hex(),
        "partition": each.partition,
        "leader": each.leader,
        "leader_epoch": each.leader_epoch,
        "isr": list(each.isr),
        "log_start_offset": each.log_start_offset,
        "high_watermark": each.high_watermark,
        "log_end_offset": each.log_end_offset,
        "synced_end_offset": each.synced_end_offset,
        "records": each.high_watermark - each.log_start_offset,
        "size_bytes": each.size_bytes,
        "segments": each.segments,
        "error": f"{each.error.reason}: {each.error.message}" if each.error else None,
    }
