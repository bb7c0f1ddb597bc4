"""An error as three lines: what, where with a "did you mean", what to try. Never a traceback.

The exit status comes from the error table (docs/errors.md); 2 is a usage error, 1 is unexpected,
130 is Ctrl-C. LOGD_TRACEBACK=1 adds the traceback of an unexpected error, for those who mend it.
"""

import contextlib
import difflib
import errno
import functools
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TextIO, TypeVar

import click

from logd.cli.output import printable
from logd.cli.remedies import remedy
from logd.model.errors import LogdError, StorageFull

P = ParamSpec("P")
T = TypeVar("T")

USAGE = 2
NOT_FOUND = 3
INTERRUPTED = 130
PARTIAL = 9
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_HINT = re.compile(r"; did you mean '[^']*'( or '[^']*')*\?")


class BadUsage(click.UsageError):
    """A usage error that says what to try. `instead`: what may have been meant."""

    def __init__(
        self, message: str, *, attempt: str | None = None, instead: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.attempt = attempt
        self.instead = instead


class NotFound(Exception):
    """Something that was named does not exist, and no reason of the error table says so."""

    def __init__(self, message: str, *, attempt: str, instead: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.attempt = attempt
        self.instead = instead


class Misnamed(Exception):
    """`error` says that a name is unknown; `instead` are names that exist and look like it."""

    def __init__(self, error: LogdError, instead: Sequence[str]) -> None:
        super().__init__(str(error))
        self.error = error
        self.instead = instead


class PartialFailure(Exception):
    """Some of it was done, the rest failed with `error`; `done` says what."""

    def __init__(self, done: str, error: Exception) -> None:
        super().__init__(done)
        self.done = done
        self.error = error


class OutputFailed(OSError):
    """stdout cannot be written: its disk is full, say, or it was closed."""


class InputFailed(OSError):
    """stdin, or the file named instead, cannot be read."""


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """What stderr and the shell get to know of an exception."""

    what: str
    where: str
    attempt: str
    exit_status: int

    @classmethod
    def of(cls, error: BaseException, place: str) -> "ErrorReport":
        """The report of any exception; `place` says what was being done to what."""
        match error:
            case click.UsageError():
                return _of_usage(error, place)
            case click.ClickException():
                return cls(error.format_message(), place, "see --help", USAGE)
            case NotFound():
                where = place + did_you_mean(error.instead)
                return cls(str(error), where, error.attempt, NOT_FOUND)
            case Misnamed():
                return _of_logd_error(error.error, place, error.instead)
            case PartialFailure():
                inner = cls.of(error.error, place)
                return cls(f"{error.done}; then: {inner.what}", inner.where, inner.attempt, PARTIAL)
            case LogdError():
                return _of_logd_error(error, place)
            case OutputFailed() | BrokenPipeError():
                return _of_output(error, place)
            case InputFailed():
                return _of_input(error, place)
            case OSError() if error.filename is not None:
                what = f"{error.strerror or type(error).__name__}: {error.filename}"
                return cls(what, place, "check the path and its permissions", USAGE)
        last = traceback.extract_tb(error.__traceback__)[-1:]
        line = f"{os.path.basename(last[0].filename)}:{last[0].lineno}" if last else "no frame"
        return cls(
            f"unexpected {type(error).__name__}: {error}",
            f"{place} ({line})",
            "run it again with LOGD_TRACEBACK=1 and report what it prints",
            1,
        )

    def print(self, stream: TextIO) -> None:
        """Three lines, the first word red on a terminal."""
        red = stream.isatty() and "NO_COLOR" not in os.environ
        label = "\x1b[31merror:\x1b[0m" if red else "error:"
        with contextlib.suppress(OSError):  # stderr may be full too: the exit status remains
            stream.write(f"{label} {printable(self.what)}\n")
            stream.write(f"  where: {printable(self.where)}\n")
            stream.write(f"  try: {printable(self.attempt)}\n")
            stream.flush()


def print_error(error: BaseException, place: str) -> int:
    """Print the report to stderr; the exit status."""
    report = ErrorReport.of(error, place)
    if report.exit_status == 1 and os.environ.get("LOGD_TRACEBACK") == "1":
        traceback.print_exception(error, file=sys.stderr)
    report.print(sys.stderr)
    return report.exit_status


def report_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Make a click command end with a report and its exit status: for programs besides logctl."""

    @functools.wraps(command)
    def reported(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            sys.exit(print_error(error, click.get_current_context().command_path))

    return reported


def first_of(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first failure of tasks that ran together; groups within groups are opened."""
    error: Exception | BaseExceptionGroup[Exception] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def did_you_mean(candidates: Sequence[str]) -> str:
    """'; did you mean 'a' or 'b'?', or nothing."""
    return f"; did you mean {' or '.join(repr(each) for each in candidates)}?" if candidates else ""


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """Up to two known names that the given one may have been meant for, nearest first."""
    by_lower: dict[str, str] = {}
    for each in known:
        by_lower.setdefault(each.lower(), each)
    return [by_lower[near] for near in difflib.get_close_matches(name.lower(), by_lower, 2)]


def _of_logd_error(error: LogdError, place: str, instead: Sequence[str] = ()) -> ErrorReport:
    message, mean = error.message, did_you_mean(instead)
    if hint := _HINT.search(message):  # the broker knew better: its hint stands in the second line
        message, mean = message.replace(hint[0], ""), hint[0]
    said = f"{place} {error.message}"
    details = ", ".join(
        f"{key} {value}" for key, value in sorted(error.details.items()) if value not in said
    )
    where = f"{place} [{details}]" if details else place
    known = type(error).reason != LogdError.reason
    what = f"{message} ({error.reason})" if known else message
    attempt = remedy(error.reason, error.details)
    return ErrorReport(what, where + mean, attempt, error.exit_status)


def _of_output(error: OSError, place: str) -> ErrorReport:
    what = f"stdout cannot be written: {error.strerror or 'nobody reads it'}"
    if error.errno in DISK_FULL:
        attempt = "free space where the output goes, or send it elsewhere with >"
        return ErrorReport(what, place, attempt, StorageFull.exit_status)
    if error.errno == errno.EBADF:
        what = "stdout is closed"
    return ErrorReport(
        what, place, "send the output to a file with >, or to a program with |", USAGE
    )


def _of_input(error: InputFailed, place: str) -> ErrorReport:
    what = f"the input cannot be read: {error.strerror}"
    if error.errno == errno.EBADF:
        what = "stdin is closed"
    return ErrorReport(what, place, "name a FILE, or give input with < or |", USAGE)


def _of_usage(error: click.UsageError, place: str) -> ErrorReport:
    place = error.ctx.command_path if error.ctx else place
    option = getattr(error, "option_name", None)
    instead = list(getattr(error, "instead", ()))
    if isinstance(error, click.NoSuchOption) and error.ctx and option:
        known = [name for param in error.ctx.command.params for name in param.opts]
        instead = near_names(option, known)
    what = _usage_message(error)
    attempt = getattr(error, "attempt", None) or f"{place} --help"
    return ErrorReport(what, place + did_you_mean(instead), attempt, USAGE)


def _usage_message(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"no option {error.option_name}"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"{_parameter_name(error.param)} is missing"
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{_parameter_name(error.param)}: {error.message}"
    message = error.format_message()
    return (message[:1].lower() + message[1:]).rstrip(".")


def _parameter_name(param: click.Parameter) -> str:
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.human_readable_name.upper()
