"""`logctl parked ls | show | replay`: records that consumers have put aside."""

import asyncio
from typing import TYPE_CHECKING

import click

from logd.cli.error_report import BadUsage
from logd.cli.invocation import Invocation, LogctlCommand, NounGroup
from logd.cli.output import Column, Json, bytes_fields, counted, printable
from logd.cli.parked_records import HEADER, ParkedRecords, Where, said_of
from logd.cli.parsed_type import PAIR, TOPIC
from logd.cli.times import format_time
from logd.model.topic import PARKED_SUFFIX

if TYPE_CHECKING:
    from logd_client import Record

REPLAYED_AT_ONCE = 500
_TOPICS = (
    Column("TOPIC", "topic", "name"),
    Column("FROM", "from_topic"),
    Column("KEPT", "kept", "number"),
    Column("WAITING", "waiting", "number"),
)
_RECORDS = (
    Column("WHERE", "where", "name"),
    Column("FROM", "from_where"),
    Column("GROUP", "group"),
    Column("ATTEMPTS", "attempts", "number"),
    Column("KEY", "key_shown"),
    Column("ERROR", "error"),
    Column("REASON", "reason"),
    Column("TIME", "timestamp", wide=True),
)
_REPLAY = (
    Column("Topic", "topic", "name"),
    Column("Records", "records", "number"),
    Column("Executed", "executed"),
)
_WHERE = click.option(
    "--where", "wanted", type=PAIR, multiple=True, metavar="FIELD=REGEX",
    help="Only records in whose reason, error, group, topic, partition, offset, attempts, "
         "traceback, key or value this is found; several: all must be.",
)  # fmt: skip


@click.group(cls=NounGroup)
def parked() -> None:
    """Records that consumers have put aside: what, why, and back again."""


@parked.command("ls")
@click.pass_obj
def ls(invocation: Invocation) -> None:
    """List parked topics, with the records that wait to be replayed."""

    async def work() -> list[Json]:
        async with invocation.admin() as admin:
            topics = [each.name for each in await admin.list_topics()]
            rows = []
            for topic in topics:
                if topic.endswith(PARKED_SUFFIX):
                    records = ParkedRecords(invocation, admin, topic)
                    await records.open()
                    rows.append(
                        {
                            "topic": topic,
                            "from_topic": topic.removesuffix(PARKED_SUFFIX),
                            "kept": records.kept,
                            "waiting": records.waiting,
                        }
                    )
            return rows

    invocation.output.items(invocation.run(work()), _TOPICS, name="topic")


@parked.command("show")
@click.argument("topic", type=TOPIC)
@_WHERE
@click.option("-n", "count", type=click.IntRange(1), help="At most so many.")
@click.pass_obj
def show(
    invocation: Invocation, topic: str, wanted: tuple[tuple[str, str], ...], count: int | None
) -> None:
    """Show the records that wait to be replayed, with where they stood and why they were parked.

    -o json has the traceback, the value and all headers.
    """
    where = _where(wanted)

    async def work() -> list[Json]:
        rows: list[Json] = []
        async with invocation.admin() as admin:
            records = ParkedRecords(invocation, admin, topic)
            await records.open()
            async for record in records.read():
                if where.takes(record):
                    rows.append(_row(record))
                if len(rows) == count:
                    break
        return rows

    invocation.output.items(invocation.run(work()), _RECORDS, name="where")


@parked.command("replay", cls=LogctlCommand)
@click.argument("topic", type=TOPIC)
@_WHERE
@click.option("--execute", is_flag=True, help="Write them; else only tell how many there are.")
@click.pass_obj
def replay(
    invocation: Invocation, topic: str, wanted: tuple[tuple[str, str], ...], execute: bool
) -> None:
    """Write parked records back to the topics that they came from, each once.

    With key, value, time and headers as they were: every group of the topic receives them, as new
    records at its end.
    """
    where = _where(wanted)

    async def work() -> int:
        from logd_client import Producer

        found: list[Record] = []
        count = 0
        async with (
            invocation.admin() as admin,
            Producer(bootstrap_servers=invocation.bootstrap) as producer,
        ):
            records = ParkedRecords(invocation, admin, topic)
            await records.open()

            async def write() -> None:
                handles = [
                    await producer.send(
                        said_of(record)["topic"] or topic.removesuffix(PARKED_SUFFIX),
                        record.value,
                        record.key,
                        headers=[h for h in record.headers if not h[0].startswith(HEADER)],
                        timestamp_ms=record.timestamp_ms,
                    )
                    for record in found
                ]
                await asyncio.gather(*handles)
                await records.replayed(found)
                found.clear()

            async for record in records.read():
                if not where.takes(record):
                    continue
                count += 1
                if execute:
                    found.append(record)
                if len(found) == REPLAYED_AT_ONCE:
                    await write()
            if found:
                await write()
        return count

    count = invocation.run(work())
    does = "replayed" if execute else "would be replayed; add --execute to do it"
    invocation.note(f"{counted(count, 'record')} {does}")
    row = {"topic": topic, "records": count, "executed": execute}
    invocation.output.item(row, _REPLAY, name="records")


def _where(wanted: tuple[tuple[str, str], ...]) -> Where:
    try:
        return Where(wanted)
    except ValueError as error:
        raise BadUsage(f"--where: {error}") from None


def _row(record: "Record") -> Json:
    said = said_of(record)
    return {
        "where": f"{record.topic}:{record.partition}:{record.offset}",
        "from_where": f"{said['topic']}:{said['partition']}:{said['offset']}",
        "group": said["group"],
        "attempts": int(said["attempts"]) if said["attempts"].isdigit() else None,
        "error": said["error"] or None,
        "reason": said["reason"],
        "traceback": said["traceback"] or None,
        "timestamp": format_time(record.timestamp_ms),
        "key_shown": printable((record.key or b"").decode(errors="replace")[:40]),
        **bytes_fields("key", record.key),
        **bytes_fields("value", record.value),
        "headers": [
            {"name": name, **bytes_fields("value", value)}
            for name, value in record.headers
            if not name.startswith(HEADER)
        ],
    }
