"""The `logctl` command: a noun, then a verb. A noun's module is imported when it is used."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from logd import __version__
from logd.cli.error_report import INTERRUPTED, print_error
from logd.cli.invocation import DEFAULT_BOOTSTRAP, NounGroup
from logd.cli.output import FORMATS
from logd.cli.parsed_type import BOOTSTRAP, OneOf
from logd.cli.standard_output import end_stdout, open_standard_streams

NOUNS = {
    "topics": "Make, look at, change and delete topics.",
    "partitions": "The state of partitions: offsets, sizes, leaders.",
    "produce": "Write records to a topic.",
    "consume": "Read records from topics.",
    "groups": "Consumer groups: members, lag and why, rewinding, history.",
    "parked": "Records that consumers have put aside: what, why, and back again.",
    "cluster": "The cluster: who is there, and how it is.",
    "brokers": "The brokers that are alive.",
    "segments": "The files of a stopped broker.",
    "bench": "Measure a running broker.",
    "explain": "What an error's reason means, and what to do.",
    "completion": "The completion script of a shell.",
    "version": "The version of logctl.",
}
"""name -> first line of its help. The module of a noun has its name and holds it under that name.
A test holds these lines equal to the commands' own."""


class LazyNouns(NounGroup):
    """The root: lists its nouns from the table, imports only the one that is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NOUNS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in NOUNS:
            return None
        command = getattr(importlib.import_module(f"logd.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(NOUNS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        nouns = [
            CompletionItem(name, help=text)
            for name, text in NOUNS.items()
            if name.startswith(incomplete)
        ]
        return [*nouns, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(
    cls=LazyNouns,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
    epilog="""Options are the same everywhere; COMMAND --help has examples.

    \b
      logctl topics create orders -p 6
      echo hello | logctl produce orders
      logctl consume orders -e
      logctl topics ls -o json

    Exit status: 0 ok, 1 unexpected, 2 usage, 3 not found, 4 denied, 5 conflict, 6 unavailable,
    7 limit, 8 corruption, 9 partial, 10 differences, 130 interrupted.""",
)
@click.option(
    "-b", "--bootstrap", type=BOOTSTRAP, envvar="LOGD_BOOTSTRAP", metavar="HOST:PORT[,..]",
    help=f"Where a broker is; else LOGD_BOOTSTRAP, else {DEFAULT_BOOTSTRAP}.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=OneOf(FORMATS), envvar="LOGD_OUTPUT", metavar="FORMAT",
    help=f"{', '.join(FORMATS)}; else LOGD_OUTPUT, else table.",
)  # fmt: skip
@click.version_option(__version__, prog_name="logctl", message="%(prog)s %(version)s")
def logctl(bootstrap: str | None, output: str | None) -> None:
    """Work with logd: topics, records, consumer groups, brokers."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit status."""
    place = ["logctl"]
    try:
        status = logctl.main(list(arguments), prog_name="logctl", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        return 0  # who reads has enough (`| head`)
    except Exception as error:
        return print_error(error, _place(arguments, place))


def _place(arguments: Sequence[str], place: list[str]) -> str:
    """The words of the command line up to the command's first option; options of `logctl` itself,
    which may stand before the noun, are left out with their values."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            place.append(word)
        elif len(place) > 1:
            break
        elif word in ("-b", "--bootstrap", "-o", "--output"):
            next(words, None)
    return " ".join(place)


def main() -> None:
    """The entry point."""
    open_standard_streams()
    try:
        sys.exit(run(sys.argv[1:]))
    finally:
        end_stdout()


if __name__ == "__main__":
    main()
