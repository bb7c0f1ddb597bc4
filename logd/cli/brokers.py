"""`logctl brokers`."""

import click

from logd.cli.error_report import NotFound
from logd.cli.invocation import Invocation, NounGroup
from logd.cli.output import Column, Json, Section
from logd.cli.times import format_time

_COLUMNS = (
    Column("ID", "id", "number"),
    Column("ADDRESS", "address", "name"),
    Column("RACK", "rack"),
    Column("PID", "pid", "number"),
    Column("FLIGHT", "flight_address", wide=True),
    Column("STARTED", "started"),
    Column("VERSION", "version", wide=True),
)
_LINES = (
    Column("id", "id"),
    Column("address", "address", "name"),
    Column("rack", "rack"),
    Column("pid", "pid"),
    Column("flight address", "flight_address"),
    Column("started", "started"),
    Column("version", "version"),
    Column("controller", "controller"),
)
_CONNECTIONS = Section(
    "connections",
    "connections",
    (
        Column("CLIENT", "client_id", "name"),
        Column("PEER", "peer"),
        Column("DOES", "does"),
        Column("SINCE", "since"),
    ),
)


@click.group(cls=NounGroup)
def brokers() -> None:
    """The brokers that are alive."""


@brokers.command("ls")
@click.pass_obj
def ls(invocation: Invocation) -> None:
    """List brokers."""
    invocation.output.items(_rows(invocation), _COLUMNS, name="id")


@brokers.command("describe")
@click.argument("broker", type=click.IntRange(0))
@click.pass_obj
def describe(invocation: Invocation, broker: int) -> None:
    """One broker, by its id, and the clients that write and read there now."""
    rows = {row["id"]: row for row in _rows(invocation)}
    if broker not in rows:
        known = ", ".join(map(str, rows))
        raise NotFound(
            f"no broker {broker} is alive; there are {known}", attempt="logctl brokers ls"
        )
    row = rows[broker] | {"connections": _connections(invocation)}
    invocation.output.item(row, _LINES, "id", (_CONNECTIONS,))


def _connections(invocation: Invocation) -> list[Json]:
    async def work() -> list[Json]:
        async with invocation.admin() as admin:
            return [
                {
                    "client_id": each.client_id,
                    "peer": each.peer,
                    "does": each.does,
                    "since": format_time(each.since_ms),
                }
                for each in await admin.list_connections()
            ]

    return invocation.run(work())


def _rows(invocation: Invocation) -> list[Json]:
    async def work() -> list[Json]:
        async with invocation.admin() as admin:
            found = await admin.cluster_info()
        return [
            {
                "id": each.broker_id,
                "address": each.address,
                "rack": each.rack or None,
                "pid": each.pid,
                "flight_address": each.flight_address or None,
                "started": format_time(each.started_ms),
                "version": each.version,
                "controller": each.broker_id == found.controller,
            }
            for each in found.brokers
        ]

    return invocation.run(work())
