"""The `logd` command: `logd start` runs a broker."""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import click

from logd import __version__
from logd.cli.error_report import OutputFailed, print_error, report_errors
from logd.cli.standard_output import end_stdout, open_standard_streams


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="logd", message="%(prog)s %(version)s")
def logd() -> None:
    """logd, a partitioned commit log. `logd start` runs a broker; `logctl` operates it."""


@logd.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings, as TOML.")
@click.option("--data-dir", help="Where records and metadata are kept. [default: ./logd-data]")
@click.option("--listen", help="HOST:PORT; port 0 picks a free one. [default: 127.0.0.1:9600]")
@click.option("--flight-listen", help="HOST:PORT of Arrow Flight, auto or off. [default: off]")
@click.option("--advertise", help="HOST:PORT that clients shall use, where it differs.")
@click.option("--metadata", help="Where metadata is kept: sqlite. [default: sqlite]")
@click.option("--broker-id", help="Number of this broker. [default: 0]")
@click.option("--rack", help="Where this broker stands.")
@click.option("--log-level", help="debug, info, warning or error. [default: info]")
@click.option("--log-format", help="auto, json or console. [default: auto]")
@click.option("--drain-timeout-ms", help="Bound on a clean stop. [default: 10000]")
@report_errors
def start(file: Path | None, **flags: Any) -> None:
    """Run a broker until SIGTERM or Ctrl-C.

    Settings come from --config, then LOGD_* variables, then these flags.
    """
    from logd.broker.config import load_config

    given = {name: value for name, value in flags.items() if value is not None}
    if file is None and "LOGD_CONFIG" in os.environ:
        file = Path(os.environ["LOGD_CONFIG"])
    config = load_config(file, os.environ, given)
    # gRPC's C++ reads it when it loads. Its lines have a form of their own; what matters is raised.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # The thread that waits for a call also polls its socket: a wake-up less for each message.
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
    from logd.broker.broker_process import run_broker
    from logd.broker.real_seams import real_seams

    sys.exit(run_broker(config, real_seams(), _announce))


def _announce(line: str) -> None:
    """Where stdout was closed nobody waits for the line."""
    try:
        click.echo(line)
    except OutputFailed as error:
        if error.errno != errno.EBADF:
            raise


def main() -> None:
    """The entry point."""
    open_standard_streams()
    try:
        logd()
    except BrokenPipeError:
        sys.exit(0)  # who reads has enough
    except OutputFailed as error:
        sys.exit(print_error(error, "logd"))
    finally:
        end_stdout()


if __name__ == "__main__":
    main()
