"""`logctl topics`."""

from typing import TYPE_CHECKING

import click

from logd.cli.error_report import BadUsage, PartialFailure
from logd.cli.invocation import Invocation, NounGroup
from logd.cli.output import Column, Json, Section, counted
from logd.cli.parsed_type import PAIR, TOPIC, TOPIC_PARTITIONS, TopicPartitions
from logd.cli.position import BY_OPTION, POSITION, Position
from logd.cli.times import format_time

if TYPE_CHECKING:
    from logd.model.cluster import TopicSize
    from logd_client.descriptions import DeletedRecords, TopicDescription

_COLUMNS = (
    Column("NAME", "name", "name"),
    Column("PARTITIONS", "partition_count", "number"),
    Column("RECORDS", "records", "number"),
    Column("BYTES", "size_bytes", "size"),
    Column("IN", "append_rate", "rate"),
    Column("REPLICAS", "replication_factor", "number"),
    Column("CREATED", "created"),
    Column("INTERNAL", "internal", wide=True),
    Column("ID", "topic_id", wide=True),
    Column("CONFIG", "config", wide=True),
)
_LINES = (
    Column("name", "name", "name"),
    Column("id", "topic_id"),
    Column("partitions", "partition_count"),
    Column("replicas", "replication_factor"),
    Column("created", "created"),
    Column("internal", "internal"),
    Column("partitioning epoch", "partitioning_epoch", wide=True),
)
_SETTINGS = Section(
    "settings", "settings", (Column("NAME", "name", "name"), Column("VALUE", "value"))
)
_PARTITIONS = Section(
    "partitions",
    "partitions",
    (
        Column("PARTITION", "partition", "number"),
        Column("LEADER", "leader", "number"),
        Column("REPLICAS", "replicas"),
        Column("KEYS", "key_share", "share"),
        Column("SEALED", "sealed", wide=True),
        Column("PARENTS", "parents", wide=True),
    ),
)
_DELETED = (
    Column("TOPIC", "topic", "name"),
    Column("PARTITION", "partition", "number"),
    Column("LOG_START", "log_start_offset", "number"),
    Column("REMOVED", "records", "number"),
    Column("ERROR", "error"),
)
_YES = click.option("--yes", is_flag=True, help="Do it without asking.")
_DRY = click.option("--validate-only", is_flag=True, help="Check, and change nothing.")


@click.group(cls=NounGroup)
def topics() -> None:
    """Make, look at, change and delete topics."""


@topics.command("ls")
@click.option("--all", "-a", "internal", is_flag=True, help="Internal topics too.")
@click.pass_obj
def ls(invocation: Invocation, internal: bool) -> None:
    """List topics.

    IN is records appended a second, over about the last minute. '-' is not known, as of logs that
    were not opened since the broker started.
    """

    async def work() -> "list[TopicDescription]":
        async with invocation.admin() as admin:
            return await admin.list_topics(include_internal=internal, with_sizes=True)

    rows = [_row(topic) | _size_row(topic.size) for topic in invocation.run(work())]
    invocation.output.items(rows, _COLUMNS, name="name")


@topics.command("describe")
@click.argument("topic", type=TOPIC)
@click.pass_obj
def describe(invocation: Invocation, topic: str) -> None:
    """One topic: settings, partitions and the keys they take."""

    async def work() -> "TopicDescription":
        async with invocation.admin() as admin:
            return await admin.describe_topic(topic)

    _print_topic(invocation, invocation.run(work()), (_SETTINGS, _PARTITIONS))


@topics.command(
    "create",
    epilog="""\b
    Examples:
      logctl topics create orders -p 6
      logctl topics create events -p 12 --config retention_ms=30d --config durability=page_cache
      logctl topics create orders --if-not-exists""",
)
@click.argument("topic", type=TOPIC)
@click.option("-p", "--partitions", type=click.IntRange(1), metavar="N", default=1,
              show_default=True, help="How many partitions.")  # fmt: skip
@click.option("-r", "--replicas", type=click.IntRange(0), metavar="N", default=0,
              help="Copies of each; the cluster's default if not given.")  # fmt: skip
@click.option("--config", type=PAIR, multiple=True, metavar="NAME=VALUE",
              help="A setting, as retention_ms=7d or segment_bytes=64MiB; repeatable.")  # fmt: skip
@click.option("--if-not-exists", is_flag=True, help="A topic of this name is no error.")
@_DRY
@click.pass_obj
def create(
    invocation: Invocation,
    topic: str,
    partitions: int,
    replicas: int,
    config: tuple[tuple[str, str], ...],
    if_not_exists: bool,
    validate_only: bool,
) -> None:
    """Make a topic."""

    async def work() -> "TopicDescription":
        async with invocation.admin() as admin:
            return await admin.create_topic(
                topic,
                partitions,
                replicas,
                dict(config),
                if_not_exists=if_not_exists,
                validate_only=validate_only,
            )

    _print_topic(invocation, invocation.run(work()))
    if validate_only:
        invocation.note("nothing was changed: --validate-only")


@topics.command(
    "set",
    epilog="""\b
    Example:
      logctl topics set orders retention_ms=3d retention_bytes=10GiB""",
)
@click.argument("topic", type=TOPIC)
@click.argument("settings", type=PAIR, nargs=-1, required=True, metavar="NAME=VALUE..")
@_DRY
@click.pass_obj
def set_(
    invocation: Invocation, topic: str, settings: tuple[tuple[str, str], ...], validate_only: bool
) -> None:
    """Change settings of a topic."""

    async def work() -> "TopicDescription":
        async with invocation.admin() as admin:
            return await admin.set_topic(topic, dict(settings), validate_only=validate_only)

    _print_topic(invocation, invocation.run(work()), (_SETTINGS,))
    if validate_only:
        invocation.note("nothing was changed: --validate-only")


@topics.command(
    "add-partitions",
    epilog="""\b
    Example:
      logctl topics add-partitions orders --total 8""",
)
@click.argument("topic", type=TOPIC)
@click.option(
    "--total", type=click.IntRange(1), metavar="N", required=True, help="How many in all."
)
@_YES
@_DRY
@click.pass_obj
def add_partitions(
    invocation: Invocation, topic: str, total: int, yes: bool, validate_only: bool
) -> None:
    """Split the widest partitions; some keys move.

    The order of a key's records holds within a partition only: a key that moves is in two of them
    from then on, so this asks first, with the share of keys that move.
    """

    async def work(only: bool) -> "tuple[TopicDescription, float]":
        async with invocation.admin() as admin:
            return await admin.add_partitions(topic, total, validate_only=only)

    planned, share = invocation.run(work(True))
    moves = f"{share:.1%} of all keys move to another partition of '{topic}'"
    if validate_only or yes:
        invocation.note(moves)
    if not validate_only:
        invocation.confirm(moves, topic, yes)
        planned, share = invocation.run(work(False))
    _print_topic(invocation, planned, (_PARTITIONS,), moved_key_share=share)
    if validate_only:
        invocation.note("nothing was changed: --validate-only")


@topics.command(
    "truncate",
    epilog="""\b
    Examples:
      logctl topics truncate orders --before @-7d
      logctl topics truncate orders:0,2-4 --before 120000 --yes""",
)
@click.argument("topic", type=TOPIC_PARTITIONS, metavar="TOPIC[:PARTITIONS]")
@click.option("--before", type=POSITION, required=True, metavar="OFFSET|@TIME",
              help="The first record to keep: an offset, @TIME, @-7d or latest.")  # fmt: skip
@BY_OPTION
@_YES
@_DRY
@click.pass_obj
def truncate(
    invocation: Invocation,
    topic: TopicPartitions,
    before: Position,
    by: str | None,
    yes: bool,
    validate_only: bool,
) -> None:
    """Remove the oldest records of a topic."""
    if before.kind == "last":
        raise BadUsage("--before takes an offset or @TIME, not a count of records")
    spec = before.by(by).spec(invocation.clock.wall_ms())

    async def work(only: bool) -> "list[DeletedRecords]":
        async with invocation.admin() as admin:
            numbers = topic.partitions or range(
                len((await admin.describe_topic(topic.topic)).partitions)
            )
            return await admin.truncate_topic(topic.topic, dict.fromkeys(numbers, spec), only)

    if not validate_only and not yes:
        records = sum(each.records for each in invocation.run(work(True)))
        invocation.confirm(
            f"{counted(records, 'record')} of '{topic.topic}' will be removed", topic.topic, yes
        )
    results = invocation.run(work(validate_only))
    rows = [
        {
            "topic": topic.topic,
            "partition": each.partition,
            "log_start_offset": each.log_start_offset,
            "records": each.records,
            "error": each.error.reason if each.error else None,
        }
        for each in results
    ]
    invocation.output.items(rows, _DELETED, name="partition")
    if validate_only:
        invocation.note("nothing was changed: --validate-only")
    _raise_failed(results)


@topics.command("delete")
@click.argument("topic", type=TOPIC)
@_YES
@_DRY
@click.pass_obj
def delete(invocation: Invocation, topic: str, yes: bool, validate_only: bool) -> None:
    """Delete a topic with all its records."""

    async def work(only: bool) -> bytes:
        async with invocation.admin() as admin:
            return await admin.delete_topic(topic, validate_only=only)

    topic_id = invocation.run(work(True))
    if not validate_only:
        invocation.confirm(f"topic '{topic}' and all its records will be deleted", topic, yes)
        topic_id = invocation.run(work(False))
    row = {"name": topic, "topic_id": topic_id.hex(), "deleted": not validate_only}
    lines = (Column("name", "name", "name"), Column("deleted", "deleted"))
    invocation.output.item(row, lines, name="name")


def _raise_failed(results: "list[DeletedRecords]") -> None:
    errors = [each.error for each in results if each.error is not None]
    if errors and len(errors) == len(results):
        raise errors[0]
    if errors:
        done = f"{len(results) - len(errors)} of {len(results)} partitions were truncated"
        raise PartialFailure(done, errors[0])


def _print_topic(
    invocation: Invocation,
    topic: "TopicDescription",
    sections: tuple[Section, ...] = (),
    **more: object,
) -> None:
    row = _row(topic) | more
    if invocation.output.format in ("table", "wide"):
        row["settings"] = [{"name": key, "value": value} for key, value in row["config"].items()]
    invocation.output.item(row, _LINES, "name", sections)


def _size_row(size: "TopicSize | None") -> Json:
    names = ("records", "size_bytes", "append_rate")
    return {name: getattr(size, name, None) for name in names}


def _row(topic: "TopicDescription") -> Json:
    return {
        "name": topic.name,
        "topic_id": topic.topic_id.hex() or None,
        "partition_count": len(topic.partitions),
        "replication_factor": topic.replication_factor,
        "created": format_time(topic.created_ms) if topic.created_ms else None,
        "internal": topic.internal,
        "partitioning_epoch": topic.partitioning_epoch,
        "config": {name: _setting(value) for name, value in topic.config.items()},
        "partitions": [
            {
                "partition": each.partition,
                "leader": each.leader,
                "replicas": list(each.replicas),
                "key_share": (each.hash_hi - each.hash_lo) / (1 << 32),
                "hash_lo": each.hash_lo,
                "hash_hi": each.hash_hi,
                "sealed": each.sealed,
                "parents": list(each.parents),
                "split_at": each.split_at,
            }
            for each in topic.partitions
        ],
    }


def _setting(value: str) -> str | int | bool:
    """A setting's value as JSON has it."""
    if value in ("true", "false"):
        return value == "true"
    return int(value) if value.removeprefix("-").isdecimal() else value
