"""`logctl produce`: a file or stdin into a topic, in bounded memory."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import click

from logd.cli.error_report import BadUsage
from logd.cli.invocation import CLIENT_ID, Invocation, LogctlCommand
from logd.cli.parsed_type import PAIR, RATE, TOPIC_PARTITIONS, OneOf, ParsedType, TopicPartitions
from logd.cli.record_parser import NAMED_FORMATS, NewRecord, RecordParser, input_template
from logd.cli.times import Rate, parse_time

if TYPE_CHECKING:
    from logd.cli.record_sender import RecordSender


def _check_format(text: str) -> str:
    if text not in NAMED_FORMATS:
        input_template(text)
    return text


def _check_time(text: str) -> str:
    parse_time(text, 0)
    return text


@click.command(
    cls=LogctlCommand,
    epilog="""\b
    Examples:
      echo hello | logctl produce orders -k customer-7
      logctl produce orders orders.txt --compression zstd --rate 10MB/s
      logctl produce orders:2 --format '%k:%v\\n' < pairs.txt
      logctl consume orders -e -o jsonl | logctl produce copy --format jsonl
      logctl produce images photo.png --format raw -k photo.png -o jsonl""",
)
@click.argument("place", type=TOPIC_PARTITIONS, metavar="TOPIC[:PARTITION]")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-")
@click.option("-k", "--key", help="The key of every record.")
@click.option("-H", "--header", type=PAIR, multiple=True, metavar="NAME=VALUE",
              help="A header of every record; repeatable.")  # fmt: skip
@click.option(
    "-p", "--partition", type=click.IntRange(0), metavar="N", help="The partition; else by key."
)
@click.option("--format", "form", type=ParsedType("format", _check_format), default="lines",
              metavar="FORMAT", show_default=True,
              help="lines: one record each. jsonl: an object each, as consume -o jsonl prints "
              "them. raw: all input is one record. Or a template of %k %v %h %T %p, as "
              "'%k:%v\\n'. jsonl and %T give records their times (docs/times.md).")  # fmt: skip
@click.option("--acks", type=OneOf(("leader", "all")), default="all", show_default=True,
              metavar="leader|all", help="Who must hold a record before it counts.")  # fmt: skip
@click.option("--compression", type=OneOf(("none", "lz4", "zstd")), default="none",
              metavar="none|lz4|zstd", show_default=True, help="How batches travel.")  # fmt: skip
@click.option("--rate", type=RATE, metavar="RATE", help="At most 60000/s records, or 10MB/s.")
@click.option("--timestamp", type=ParsedType("time", _check_time), metavar="TIME",
              help="The time of every record; else now, or what the input says "
              "(jsonl, %T).")  # fmt: skip
@click.pass_obj
def produce(
    invocation: Invocation,
    /,
    place: TopicPartitions,
    file: str,
    form: str,
    acks: Any,
    compression: Any,
    rate: Rate | None,
    **fixed: Any,
) -> None:
    """Write records to a topic.

    Reads FILE, or stdin. A line's end is not part of its record; bytes are taken as they are.
    -o jsonl echoes {"topic","partition","offset"} as each record is acknowledged, -o json a summary
    at the end.
    """
    topic, numbers = place
    if numbers:
        if fixed["partition"] is not None:
            raise BadUsage("-p says which partition, and so does TOPIC:PARTITION: give one of them")
        fixed["partition"] = place.one
    constant = _constant(invocation, **fixed)

    async def work() -> "RecordSender":
        from logd.cli.record_sender import RecordSender
        from logd_client import Producer

        async with invocation.admin() as admin:
            known = await admin.describe_topic(topic)
        _check_partition(topic, constant.partition, len(known.partitions))
        async with Producer(
            bootstrap_servers=invocation.bootstrap,
            client_id=CLIENT_ID,
            acks=acks,
            compression_type=compression,
        ) as producer:
            sender = RecordSender(invocation, producer, topic, constant, rate)
            with _opened(file) as stream:
                await sender.send_input(stream.fileno(), RecordParser(form))
            return sender

    sender = invocation.run(work())
    summary = sender.summary()
    if invocation.output.chosen in ("json", "yaml"):
        invocation.output.item(summary, (), name="topic")
    elif sys.stderr.isatty():
        invocation.note(sender.summary_text())


def _constant(
    invocation: Invocation,
    key: str | None,
    header: tuple[tuple[str, str], ...],
    partition: int | None,
    timestamp: str | None,
) -> NewRecord:
    """What the flags fix for every record."""
    time_ms = None if timestamp is None else parse_time(timestamp, invocation.clock.wall_ms())
    if time_ms is not None and time_ms < 0:
        raise BadUsage(f"--timestamp '{timestamp}' is before 1970: no record can have it")
    return NewRecord(
        None,
        None if key is None else os.fsencode(key),
        [(name, os.fsencode(value)) for name, value in header],
        time_ms,
        partition,
    )


def _check_partition(topic: str, partition: int | None, count: int) -> None:
    from logd.model.errors import UnknownPartition

    if partition is not None and partition >= count:
        raise UnknownPartition(
            f"topic '{topic}' has no partition {partition}, only 0 to {count - 1}",
            topic=topic,
            partition=partition,
        )


@contextlib.contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    """The file, or stdin for '-'; stdin stays open."""
    if file == "-":
        yield sys.stdin.buffer
        return
    with open(file, "rb") as stream:
        yield stream
