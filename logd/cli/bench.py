"""`logctl bench`: how fast a running broker is, through the SDK."""

import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

from logd.cli.error_report import BadUsage
from logd.cli.invocation import Invocation, NounGroup
from logd.cli.output import Column, Json
from logd.cli.parsed_type import DURATION, RATE, SIZE, TOPIC, OneOf

if TYPE_CHECKING:
    from logd.cli.bench_run import BenchRun

VALUE_BYTES_MAX = 16 << 20
STAMPED_BYTES_MIN = 25
"""What tells in a value which run sent it, and when."""

_LINES = (
    Column("bench", "bench", "name"),
    Column("records", "records"),
    Column("bytes", "bytes", "size"),
    Column("seconds", "seconds"),
    Column("records/s", "records_per_second"),
    Column("MB/s", "mb_per_second"),
    Column("client CPU s/M", "client_cpu_seconds_per_million"),
    Column("latency ms", "latency_ms"),
)

Options = Callable[[Callable[..., Any]], Callable[..., Any]]

_api = click.option(
    "--api", type=OneOf(("record", "batch")), default="record", metavar="record|batch",
    show_default=True, help="A call and an object a record, or many at once.",
)  # fmt: skip


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What all benchmarks can be told."""
    for option in (
        click.option("--durability", type=OneOf(("fsync", "page_cache")),
                     metavar="fsync|page_cache",
                     help="Of the topic made for it; fsync if not given."),
        click.option("--compression", type=OneOf(("none", "lz4", "zstd")), default="none",
                     metavar="none|lz4|zstd", show_default=True, help="How batches travel."),
        click.option("--acks", type=OneOf(("leader", "all")), default="all", show_default=True,
                     metavar="leader|all", help="Who must hold a record before it counts."),
        click.option("--partitions", type=click.IntRange(1, 1000), metavar="N", default=6,
                     show_default=True, help="Of the topic made for it."),
        click.option("--value-bytes", type=SIZE, default=1024, metavar="SIZE",
                     help="Size of a value; 1KiB if not given."),
        click.option("--warm-up", "warm_up_ms", type=DURATION, default=1_000, metavar="DURATION",
                     help="Not measured; 1s if not given."),
        click.option("--duration", "duration_ms", type=DURATION, default=5_000,
                     metavar="DURATION", help="How long to measure; 5s if not given."),
        click.argument("topic", type=TOPIC, required=False),
    ):  # fmt: skip
        function = option(function)
    return function


@click.group(cls=NounGroup)
def bench() -> None:
    """Measure a running broker.

    Without TOPIC a topic is made for it and deleted afterwards. MB are 10^6 bytes of values; client
    CPU is seconds of user and system time per million records.
    """


@bench.command(
    "produce",
    epilog="""\b
    Examples:
      logctl bench produce --value-bytes 100B --duration 10s
      logctl bench produce --api batch --durability page_cache -o json""",
)
@_options
@_api
@click.option("--batch-bytes", type=SIZE, metavar="SIZE", help="The producer's batch_size.")
@click.option("--linger", "linger_ms", type=DURATION, metavar="DURATION",
              help="The producer's linger_ms.")  # fmt: skip
@click.pass_obj
def produce(invocation: Invocation, /, **options: Any) -> None:
    """Records written a second.

    Its latency is from send() to the acknowledgement of a record now and then, while the producer's
    buffer is full.
    """
    _bench(invocation, "produce", lambda run: run.produce(), options)


@bench.command("consume")
@_options
@_api
@click.option("--records", type=click.IntRange(1), metavar="N", default=500_000, show_default=True,
              help="How many the topic made for it holds; read again and again.")  # fmt: skip
@click.pass_obj
def consume(invocation: Invocation, /, records: int, **options: Any) -> None:
    """Records read a second, from the start, decoded.

    Its latency is how long each batch took to come; there is none with --api record.
    """
    work = functools.partial(_filled_then_read, fill_records=records)
    _bench(invocation, "consume", work, options)


@bench.command("e2e")
@_options
@click.option("--rate", type=RATE, default="1000/s", show_default=True, metavar="RATE",
              help="Records sent a second.")  # fmt: skip
@click.pass_obj
def e2e(invocation: Invocation, /, **options: Any) -> None:
    """From send() in one process to a waiting consumer in another, at a rate."""
    rate = options.pop("rate")
    if rate.in_bytes:
        raise click.UsageError("--rate takes records here, as 1000/s")
    if options["value_bytes"] < STAMPED_BYTES_MIN:
        raise click.UsageError(f"--value-bytes is at least {STAMPED_BYTES_MIN} here")
    _bench(invocation, "e2e", lambda run: run.e2e(rate.per_second), options)


@bench.command("latency")
@_options
@click.pass_obj
def latency(invocation: Invocation, /, **options: Any) -> None:
    """From send() to the acknowledgement, one record at a time, without lingering."""
    _bench(invocation, "latency", lambda run: run.latency(), options)


async def _filled_then_read(run: "BenchRun", fill_records: int) -> Json:
    if run.is_own_topic:
        await run.fill(fill_records)
    return await run.consume()


def _bench(
    invocation: Invocation,
    name: str,
    work: "Callable[[BenchRun], Coroutine[Any, Any, Json]]",
    options: dict[str, Any],
) -> None:
    if not 1 <= options["value_bytes"] <= VALUE_BYTES_MAX:
        raise click.UsageError(f"--value-bytes is 1 to {VALUE_BYTES_MAX}")
    topic, durability = options["topic"], options["durability"]
    if topic and durability:
        raise BadUsage(
            "--durability is for the topic that is made without TOPIC",
            attempt=f"logctl topics set {topic} durability={durability}",
        )

    async def measured() -> Json:
        from logd.cli.bench_run import BenchOptions, open_bench

        async with open_bench(invocation, BenchOptions(**options)) as run:
            about = {"bench": name, "topic": run.topic, "value_bytes": options["value_bytes"]}
            api = {"api": options["api"]} if "api" in options else {}
            return {**about, **api, **await work(run)}

    row = invocation.run(measured())
    if invocation.output.format in ("table", "wide"):
        row["latency_ms"] = [f"{key} {value}" for key, value in (row["latency_ms"] or {}).items()]
    invocation.output.item(row, _LINES, name="records_per_second")
