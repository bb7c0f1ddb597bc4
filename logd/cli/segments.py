"""`logctl segments`: the files of a stopped broker. The one noun that looks at storage itself."""

from itertools import islice
from typing import TYPE_CHECKING

import click

from logd.cli.invocation import Invocation, NounGroup
from logd.cli.output import Column, Json, Section
from logd.cli.times import format_time

if TYPE_CHECKING:
    from logd.broker.offline import DumpedBatch, RebuildPlan

CORRUPTION = 8
NO_PRODUCER = -1
_SEGMENTS = (
    Column("TOPIC", "topic", "name"),
    Column("PARTITION", "partition", "number"),
    Column("BASE", "base_offset", "number"),
    Column("NEXT", "next_offset", "number"),
    Column("BATCHES", "batches", "number"),
    Column("RECORDS", "records", "number"),
    Column("SIZE", "size_bytes", "size"),
    Column("FIRST_APPEND", "first_append"),
    Column("LAST_APPEND", "last_append"),
    Column("PATH", "path", wide=True),
)
_BATCHES = (
    Column("POSITION", "position", "number"),
    Column("BYTES", "bytes", "number"),
    Column("STATE", "state", "state"),
    Column("BASE", "base_offset", "number"),
    Column("LAST", "last_offset", "number"),
    Column("RECORDS", "records", "number"),
    Column("CODEC", "codec"),
    Column("EPOCH", "leader_epoch", "number"),
    Column("APPENDED", "appended"),
    Column("PRODUCER", "producer_id", "number", wide=True),
    Column("SEQUENCE", "base_sequence", "number", wide=True),
    Column("MAX_TIMESTAMP", "max_timestamp", wide=True),
)
_REPORT = (
    Column("state", "state", "state"),
    Column("partitions", "partitions"),
    Column("segments", "segments"),
    Column("batches", "batches"),
    Column("checked", "checked_bytes", "size"),
    Column("findings", "finding_count"),
)
_FINDINGS = Section(
    "findings",
    "findings",
    (
        Column("SEVERITY", "severity", "state"),
        Column("REASON", "reason", "name"),
        Column("OFFSET", "offset", "number"),
        Column("POSITION", "position", "number", wide=True),
        Column("PATH", "path"),
        Column("MESSAGE", "message"),
    ),
)


_REBUILT = (
    Column("state", "state", "state"),
    Column("topics", "topic_count"),
    Column("cluster", "cluster_id"),
    Column("broker epoch", "broker_epoch"),
)
_ADOPTED = (
    Column("state", "state", "state"),
    Column("directory", "directory"),
    Column("set aside", "set_aside"),
)
_BACKUP = (
    Column("state", "state", "state"),
    Column("directory", "directory", "name"),
    Column("partitions", "partitions"),
    Column("segments", "segments"),
    Column("copied", "copied_bytes", "size"),
)
_TOPICS = Section(
    "topics",
    "topics",
    (
        Column("TOPIC", "topic", "name"),
        Column("PARTITIONS", "partitions", "number"),
        Column("ID", "topic_id"),
    ),
)


@click.group(cls=NounGroup)
def segments() -> None:
    """The files of a stopped broker.

    DIR is a data directory, or one partition's directory in it. Nothing is ever written there, but
    by rebuild-metadata and adopt.
    """


@segments.command("ls", broker=False)
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.pass_obj
def ls(invocation: Invocation, directory: str) -> None:
    """List segments: offsets, records, sizes, append times."""
    from logd.broker.offline import list_segments
    from logd.system.os_file_system import OsFileSystem

    rows = [
        {
            "path": each.path,
            "topic": each.topic,
            "partition": each.partition if each.partition >= 0 else None,
            "base_offset": each.base_offset,
            "next_offset": each.next_offset,
            "batches": each.batches,
            "records": each.records,
            "size_bytes": each.size_bytes,
            "first_append": _time(each.first_append_ms),
            "last_append": _time(each.last_append_ms),
        }
        for each in list_segments(OsFileSystem(), directory)
    ]
    invocation.output.items(rows, _SEGMENTS, name="path")


@segments.command(
    "dump",
    broker=False,
    epilog="""\b
    Example:
      logctl segments dump logd-data/orders-0/00000000000000000000.log -o jsonl""",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("-n", "--count", type=click.IntRange(0), metavar="N", help="Only so many batches.")
@click.pass_obj
def dump(invocation: Invocation, file: str, count: int | None) -> int:
    """Every batch of a segment, and what is damaged between them.

    Exit status 8 if anything is damaged.
    """
    from logd.broker.offline import dump_segment
    from logd.system.os_file_system import OsFileSystem

    rows = [_batch_row(each) for each in islice(dump_segment(OsFileSystem(), file), count)]
    invocation.output.items(rows, _BATCHES, name="position")
    return CORRUPTION if any(row["state"] == "damaged" for row in rows) else 0


@segments.command("verify", broker=False)
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.pass_obj
def verify(invocation: Invocation, directory: str) -> int:
    """Check every byte that has a checksum.

    Exit status 8 if records are lost or damaged; what the broker's next start repairs by itself is
    a warning.
    """
    from logd.broker.offline import check_directory, check_metadata
    from logd.system.os_file_system import OsFileSystem

    fs = OsFileSystem()
    report = check_directory(fs, directory)
    report.findings += check_metadata(fs, directory)
    row = {
        "directory": directory,
        "state": "damaged" if report.is_damaged else "ok",
        "partitions": report.partitions,
        "segments": report.segments,
        "batches": report.batches,
        "checked_bytes": report.checked_bytes,
        "used_by_pid": int(report.used_by) if report.used_by else None,
        "finding_count": len(report.findings),
        "findings": [
            {
                "severity": each.severity,
                "reason": each.reason,
                "path": each.path,
                "offset": each.offset,
                "position": each.position,
                "message": each.message,
            }
            for each in report.findings
        ],
    }
    invocation.output.item(row, _REPORT, "state", (_FINDINGS,))
    if report.used_by:
        invocation.note(f"process {report.used_by} uses this directory: what it is just writing "
                        "may look torn")  # fmt: skip
    return CORRUPTION if report.is_damaged else 0


@segments.command(
    "rebuild-metadata",
    broker=False,
    epilog="""\b
    Example:
      logctl segments rebuild-metadata logd-data --yes""",
)
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--leave-out", is_flag=True, help="Do without topics that no file tells of.")
@click.pass_obj
def rebuild_metadata(invocation: Invocation, directory: str, yes: bool, leave_out: bool) -> None:
    """Make metadata.sqlite again from the partitions' own files.

    For a data directory whose metadata is lost or damaged, with its broker stopped. Topics come
    back with ids, settings, partitions and key ranges, as their partitions have noted them; one
    that was never appended to has left no trace. The old file is kept under another name. Where
    nothing tells of which topic some records are, it is refused (exit status 8).
    """
    from logd.broker.offline import carry_out, planned_rebuild
    from logd.system.os_file_system import OsFileSystem
    from logd.system.system_clock import SystemClock

    fs = OsFileSystem()
    with planned_rebuild(fs, SystemClock(), directory, leave_out=leave_out) as plan:
        count = len(plan.survey.topics)
        what = f"the metadata of {directory} will be made again, with {count} topics"
        for left_out, reason in plan.survey.skipped:
            invocation.note(f"left out: {left_out}: {reason}")
        invocation.confirm(what, directory, yes)
        carry_out(fs, plan)
        invocation.output.item(_rebuilt_row(plan), _REBUILT, "state", (_TOPICS,))


@segments.command(
    "adopt",
    broker=False,
    epilog="""\b
    Example:
      logctl segments adopt logd-data/.orphaned/1-orders-0""",
)
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.pass_obj
def adopt(invocation: Invocation, directory: str, yes: bool) -> None:
    """Take a directory for the partition's after which it is called.

    With the broker stopped: for one that was set aside (it is moved into its place), or that the
    broker refused since nothing told whose it is. What stands in its place is set aside.
    """
    from logd.broker.offline import carry_out_adoption, planned_adoption
    from logd.system.os_file_system import OsFileSystem

    fs = OsFileSystem()
    with planned_adoption(fs, directory) as plan:
        partition = f"{plan.topic.name}:{plan.partition}"
        what = f"{plan.source} will be {partition}"
        if plan.in_the_way:
            what += f", and what is {plan.target} now will be set aside"
        invocation.confirm(what, partition, yes)
        aside = carry_out_adoption(fs, plan)
        row: Json = {
            "directory": plan.target,
            "state": "adopted",
            "topic": plan.topic.name,
            "partition": plan.partition,
            "set_aside": aside,
        }
        invocation.output.item(row, _ADOPTED, "state")


@segments.command(
    "backup",
    broker=False,
    epilog="""\b
    Example:
      logctl segments backup logd-data /backup/monday && logctl segments verify /backup/monday""",
)
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.argument("target", metavar="TARGET")
@click.pass_obj
def backup(invocation: Invocation, directory: str, target: str) -> None:
    """Copy a data directory, whether its broker runs or not, to a new directory.

    What was acknowledged before the copy began is in it, with topics and committed offsets, and a
    broker starts on it as after a kill: docs/operations/backup.md.
    """
    from logd.broker.offline import back_up
    from logd.system.os_file_system import OsFileSystem

    copied = back_up(OsFileSystem(), directory, target)
    row: Json = {
        "directory": copied.directory,
        "state": "copied",
        "partitions": copied.partitions,
        "segments": copied.segments,
        "copied_bytes": copied.copied_bytes,
    }
    invocation.output.item(row, _BACKUP, "directory")


def _rebuilt_row(plan: "RebuildPlan") -> Json:
    return {
        "directory": plan.directory,
        "state": "rebuilt",
        "cluster_id": plan.survey.identity.cluster_id,
        "broker_epoch": plan.metadata.broker_epoch,
        "kept": [kept for _, kept in plan.aside],
        "topic_count": len(plan.survey.topics),
        "topics": [
            {
                "topic": topic.name,
                "topic_id": topic.topic_id.hex(),
                "partitions": len(topic.partitions),
                "internal": topic.internal,
            }
            for topic in sorted(plan.survey.topics.values(), key=lambda each: each.name)
        ],
        "left_out": [{"what": what, "why": why} for what, why in plan.survey.skipped],
    }


def _batch_row(each: "DumpedBatch") -> Json:
    header = each.header
    row: Json = {
        "position": each.position,
        "bytes": each.end_position - each.position,
        "state": "ok" if header else "zeros" if each.zeros else "damaged",
        "base_offset": each.expected_offset,
    }
    if header is None:
        return row
    return row | {
        "base_offset": header.base_offset,
        "last_offset": header.last_offset,
        "records": header.record_count,
        "codec": each.codec,
        "leader_epoch": header.leader_epoch,
        "appended": _time(header.append_timestamp_ms),
        "max_timestamp": _time(header.max_timestamp_ms),
        "uncompressed_bytes": header.uncompressed_bytes,
        "producer_id": None if header.producer_id == NO_PRODUCER else header.producer_id,
        "producer_epoch": None if header.producer_id == NO_PRODUCER else header.producer_epoch,
        "base_sequence": None if header.producer_id == NO_PRODUCER else header.base_sequence,
    }


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else format_time(time_ms)
