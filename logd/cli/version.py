"""`logctl version`."""

import platform

import click

from logd import __version__
from logd.cli.invocation import Invocation, LogctlCommand
from logd.cli.output import Column


@click.command(cls=LogctlCommand, broker=False)
@click.pass_obj
def version(invocation: Invocation) -> None:
    """The version of logctl.

    A broker's version stands in `logctl brokers ls -o wide`.
    """
    row = {"version": __version__, "python": platform.python_version()}
    invocation.output.item(
        row, (Column("logctl", "version"), Column("python", "python")), name="version"
    )
