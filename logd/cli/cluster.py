"""`logctl cluster`."""

from typing import TYPE_CHECKING

import click

from logd.cli.error_report import PARTIAL
from logd.cli.invocation import Invocation, NounGroup
from logd.cli.output import Column, Section
from logd.cli.times import format_time

if TYPE_CHECKING:
    from logd_client.descriptions import ClusterHealth, ClusterInfo

UNAVAILABLE = 6
_STATUS = {"healthy": 0, "degraded": PARTIAL, "failed": UNAVAILABLE}
_INFO = (
    Column("cluster", "cluster_id", "name"),
    Column("brokers", "broker_count"),
    Column("controller", "controller"),
    Column("metadata", "metadata"),
    Column("topics", "topics"),
    Column("partitions", "partitions"),
    Column("features", "features"),
)
_BROKERS = Section(
    "brokers",
    "brokers",
    (Column("ID", "id", "number"), Column("ADDRESS", "address", "name"), Column("RACK", "rack")),
)
_HEALTH = (Column("status", "status", "state"), Column("problems", "problem_count"))
_PROBLEMS = Section(
    "problems",
    "problems",
    (
        Column("SEVERITY", "severity", "state"),
        Column("REASON", "reason", "name"),
        Column("RESOURCE", "resource"),
        Column("SINCE", "since"),
        Column("MESSAGE", "message"),
    ),
)


@click.group(cls=NounGroup)
def cluster() -> None:
    """The cluster: who is there, and how it is."""


@cluster.command("info")
@click.pass_obj
def info(invocation: Invocation) -> None:
    """Brokers, metadata, features, counts."""

    async def work() -> "ClusterInfo":
        async with invocation.admin() as admin:
            return await admin.cluster_info()

    found = invocation.run(work())
    row = {
        "cluster_id": found.cluster_id,
        "broker_count": len(found.brokers),
        "controller": found.controller,
        "metadata": found.metadata,
        "topics": found.topics,
        "partitions": found.partitions,
        "features": list(found.features),
        "brokers": [
            {"id": each.broker_id, "address": each.address, "rack": each.rack or None}
            for each in found.brokers
        ],
    }
    invocation.output.item(row, _INFO, "cluster_id", (_BROKERS,))


@cluster.command("health")
@click.pass_obj
def health(invocation: Invocation) -> int:
    """What is wrong, if anything.

    Exit status: 0 healthy, 9 degraded, 6 failed.
    """

    async def work() -> "ClusterHealth":
        async with invocation.admin() as admin:
            return await admin.cluster_health()

    found = invocation.run(work())
    row = {
        "status": found.status,
        "problem_count": len(found.problems),
        "problems": [
            {
                "severity": each.severity,
                "reason": each.reason,
                "resource": each.resource,
                "message": each.message,
                "since": format_time(each.since_ms) if each.since_ms else None,
            }
            for each in found.problems
        ],
    }
    invocation.output.item(row, _HEALTH, "status", (_PROBLEMS,))
    return _STATUS.get(found.status, UNAVAILABLE)
