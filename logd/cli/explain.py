"""`logctl explain`: the error table, for people."""

import inspect

import click

from logd.cli.error_report import BadUsage, near_names
from logd.cli.health_reasons import HEALTH_REASONS
from logd.cli.invocation import Invocation, LogctlCommand
from logd.cli.output import Column, Json
from logd.cli.remedies import remedy
from logd.model.errors import ERRORS

_LINES = (
    Column("reason", "reason", "name"),
    Column("meaning", "meaning"),
    Column("try", "try"),
    Column("client does", "client_does"),
    Column("gRPC code", "code"),
    Column("retriable", "retriable"),
    Column("outcome unknown", "outcome_unknown"),
    Column("exit status", "exit_status"),
)


@click.command(
    cls=LogctlCommand,
    broker=False,
    epilog="""\b
    Examples:
      logctl explain NOT_LEADER
      logctl explain -o json""",
)
@click.argument("reason", required=False)
@click.pass_obj
def explain(invocation: Invocation, reason: str | None) -> None:
    """What an error's reason means, and what to do.

    Without REASON: all errors. Takes the reasons of cluster health, too.
    """
    if reason is None:
        columns = [Column("REASON", "reason", "name"), Column("EXIT", "exit_status", "number"),
                   Column("RETRIABLE", "retriable"), Column("MEANING", "meaning")]  # fmt: skip
        invocation.output.items([explanation(each) for each in ERRORS], columns, name="reason")
        return
    known = reason.upper().replace("-", "_")
    if known in HEALTH_REASONS:
        meaning, attempt = HEALTH_REASONS[known]
        row = {"reason": known, "meaning": meaning, "try": attempt}
        invocation.output.item(row, _LINES[:3], name="reason")
        return
    if known not in ERRORS:
        raise BadUsage(
            f"no reason is called '{reason}'",
            instead=near_names(reason, [*ERRORS, *HEALTH_REASONS]),
            attempt="logctl explain lists them all",
        )
    invocation.output.item(explanation(known), _LINES, name="reason")


def explanation(reason: str) -> Json:
    """One row of the error table."""
    error = ERRORS[reason]
    return {
        "reason": reason,
        "meaning": " ".join(inspect.cleandoc(error.__doc__ or "").split()),
        "try": remedy(reason),
        "client_does": error.client_does,
        "code": error.code,
        "retriable": error.retriable,
        "outcome_unknown": error.outcome_unknown,
        "exit_status": error.exit_status,
    }
