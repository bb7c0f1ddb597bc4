"""One run of a command: where the broker is, how to print, and how to run a coroutine.

`LogctlCommand` gives every command `-o`, and those that talk to a broker `-b` and `--timeout`; the
command's function receives an `Invocation` as its first argument. grpc and the SDK are imported
only once a broker is needed.
"""

import contextlib
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from logd.cli.error_report import BadUsage, Misnamed, near_names
from logd.cli.output import FORMATS, Output
from logd.cli.parsed_type import BOOTSTRAP, DURATION, OneOf
from logd.model.seams import Clock

if TYPE_CHECKING:
    from logd_client import Admin

T = TypeVar("T")
DEFAULT_BOOTSTRAP = "127.0.0.1:9600"
CLIENT_ID = "logctl"
REQUEST_TIMEOUT_MS = 10_000


def _clock() -> Clock:
    from logd.system.system_clock import SystemClock

    return SystemClock()


@dataclass(slots=True)
class Invocation:
    """What a command's function works with. `bootstrap` is HOST:PORT[,HOST:PORT...].

    `last_work` is what its work may still do once it is interrupted.
    """

    output: Output
    bootstrap: str = DEFAULT_BOOTSTRAP
    timeout_ms: int = REQUEST_TIMEOUT_MS
    clock: Clock = field(default_factory=_clock)
    last_work: str = "what is under way"

    def admin(self) -> "Admin":
        """A new Admin; the caller enters it."""
        from logd_client import Admin

        return Admin(
            bootstrap_servers=self.bootstrap,
            client_id=CLIENT_ID,
            request_timeout_ms=self.timeout_ms,
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end on a loop of its own; Ctrl-C, SIGTERM and SIGHUP
        cancel it."""
        import asyncio

        from logd.system.malloc_thresholds import raise_malloc_thresholds

        raise_malloc_thresholds()
        _diagnostics_to_stderr()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(self._until_interrupted(self._with_suggestions(work)))

    async def _until_interrupted(self, work: Coroutine[Any, Any, T]) -> T:
        """Interrupted, it may still commit and flush; then the status is the signal's, as shells
        count it, however that went."""
        import asyncio

        from logd.cli.interruption import Interruption

        def waits_for() -> str:
            return f"{self.last_work} at {self.bootstrap}"

        task = asyncio.current_task()
        assert task is not None
        interruption = Interruption(task, waits_for, self.note)
        with interruption.listening():
            try:
                return await work
            except (asyncio.CancelledError, Exception) as error:
                if interruption.number is None:
                    raise
                if not isinstance(error, asyncio.CancelledError | BrokenPipeError):
                    self.note(f"interrupted; {waits_for()} failed: {error}")
                raise click.exceptions.Exit(128 + interruption.number) from None

    async def _with_suggestions(self, work: Coroutine[Any, Any, T]) -> T:
        from logd.model.errors import LogdError, UnknownGroup, UnknownTopic

        try:
            await self._check_reachable()
        except BaseException:
            work.close()
            raise
        try:
            return await work
        except (UnknownTopic, UnknownGroup) as error:
            try:
                near = await self._near(error)
            except LogdError:
                near = []
            raise Misnamed(error, near) from None

    async def _near(self, error: Exception) -> list[str]:
        """Names that exist and look like the one that does not."""
        from logd.model.errors import UnknownTopic

        wanted = click.get_current_context().meta.get("names", ())
        async with self.admin() as admin:
            if isinstance(error, UnknownTopic):
                known = [topic.name for topic in await admin.list_topics()]
            else:
                known = [group.group for group in await admin.list_groups()]
        return [near for name in wanted if name not in known for near in near_names(name, known)]

    async def _check_reachable(self) -> None:
        """Fail at once where nothing listens: the SDK would go on trying until the time-out."""
        import asyncio

        from logd.model.addresses import parse_addresses
        from logd.model.errors import BrokerUnreachable

        failures = []
        for address in parse_addresses(self.bootstrap):
            try:
                async with asyncio.timeout(self.timeout_ms / 1000):
                    _, writer = await asyncio.open_connection(*address)
                writer.close()
                return
            except TimeoutError:
                failures.append(f"{address}: no answer within {self.timeout_ms} ms")
            except OSError as error:
                failures.append(f"{address}: {error.strerror or error}")
        raise BrokerUnreachable(f"no broker can be reached; {'; '.join(failures)}")

    def note(self, text: str) -> None:
        """Something for people, on stderr."""
        self.output.stream.flush()
        with contextlib.suppress(
            OSError
        ):  # nobody may see it: a terminal that is gone, a full disk
            print(text, file=sys.stderr, flush=True)

    def confirm(self, what: str, name: str, yes: bool) -> None:
        """Have `name` typed on a terminal; elsewhere demand --yes."""
        if yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise BadUsage(
                f"{what}: this needs --yes where no terminal can ask",
                attempt="add --yes once you are sure",
            )
        typed = click.prompt(f"{what}.\nType '{name}' to go on", err=True, default="",
                             show_default=False)  # fmt: skip
        if typed != name:
            raise BadUsage(f"'{typed}' is not '{name}': nothing was changed", attempt="try again")


class LogctlCommand(click.Command):
    """A command with the options that all have. `broker`: it talks to one."""

    def __init__(self, *args: Any, broker: bool = True, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.broker = broker
        if broker:
            self.params += [_bootstrap_option(), _timeout_option()]
        self.params.append(_output_option())

    def invoke(self, ctx: click.Context) -> Any:
        above = ctx.find_root().params
        output = ctx.params.pop("output") or above.get("output")
        bootstrap = ctx.params.pop("bootstrap", None) or above.get("bootstrap")
        timeout_ms = ctx.params.pop("timeout", REQUEST_TIMEOUT_MS)
        ctx.meta["names"] = [
            getattr(value, "topic", value)
            for given in ctx.params.values()
            for value in (given if type(given) is tuple else (given,))
            if isinstance(getattr(value, "topic", value), str)
        ]
        ctx.obj = Invocation(Output(output), bootstrap or DEFAULT_BOOTSTRAP, timeout_ms)
        return super().invoke(ctx)


class NounGroup(click.Group):
    """The verbs of one noun; an unknown one is refused with what may have been meant."""

    command_class = LogctlCommand

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            refusal = BadUsage(
                f"no command '{name}'; there are {', '.join(known)}",
                instead=[f"{ctx.command_path} {near}" for near in near_names(name, known)],
            )
            refusal.ctx = ctx
            raise refusal
        return super().resolve_command(ctx, args)


def _bootstrap_option() -> click.Option:
    return click.Option(
        ["-b", "--bootstrap"], type=BOOTSTRAP, metavar="HOST:PORT[,..]",
        help=f"Where a broker is; else LOGD_BOOTSTRAP, else {DEFAULT_BOOTSTRAP}.",
    )  # fmt: skip


def _timeout_option() -> click.Option:
    return click.Option(
        ["--timeout"], type=DURATION, metavar="DURATION", default=REQUEST_TIMEOUT_MS,
        help="How long to wait for the broker's answer; 10s if not given.",
    )  # fmt: skip


def _output_option() -> click.Option:
    return click.Option(
        ["-o", "--output"], type=OneOf(FORMATS), metavar="FORMAT",
        help=f"{', '.join(FORMATS)}; else LOGD_OUTPUT, else table.",
    )  # fmt: skip


def _diagnostics_to_stderr() -> None:
    """structlog prints to stdout unless told otherwise, and stdout is for data."""
    import structlog

    def short(_: object, __: str, event: Any) -> str:
        level, what = event.pop("level", "info"), event.pop("event", "")
        return " ".join([f"{level}: {what}", *(f"{k}={v}" for k, v in sorted(event.items()))])

    structlog.configure(
        processors=[structlog.processors.add_log_level, short],
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
