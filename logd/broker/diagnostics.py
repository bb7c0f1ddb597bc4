"""Structured diagnostics: JSON lines off a terminal, lines for people on one, always on stderr.

What libraries log comes in the same form, and so does what ends a thread. Tracebacks go without the
values of variables: records are among them. Clients' bytes may stand in any text, so each is cut,
and shows no control characters; `EventRates` bounds the lines.
"""

import io
import logging
import os
import sys
import threading
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import grpc.aio
import structlog
from google.protobuf.message import DecodeError
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer

from logd.broker.event_rates import EventRates
from logd.model.seams import Clock

TEXT_BYTES_MAX = 500
TRACEBACK_BYTES_MAX = 8000
EXCEPTIONS_MAX = 10
"""Told of a chain, or of a group."""

CLIENTS_DOINGS = (grpc.aio.InternalError, DecodeError)
"""The first: of operations that core takes no more, the call being over."""

_Event = MutableMapping[str, Any]


class _ToStructlog(logging.Handler):
    """Gives on what asyncio and grpc log, but for what they say of clients' doings: that they went
    away, or sent a message that is none to one of grpc's own services."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, CLIENTS_DOINGS):
            return
        structlog.get_logger().log(
            record.levelno, record.getMessage(), library=record.name, exc_info=record.exc_info
        )


def configure_diagnostics(
    level: str, log_format: Literal["auto", "json", "console"], clock: Clock
) -> EventRates:
    """Once, at process start. What was left out is told by the `tell` of what is returned."""
    rates = EventRates(clock)
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        rates,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _cut_texts,
    ]
    if as_json:
        processors += [
            ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            _cut_exceptions,
            structlog.processors.JSONRenderer(),
        ]
    else:
        colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        processors.append(
            structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=_write_traceback)
        )
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)
    threading.excepthook = _thread_ended
    sys.unraisablehook = _not_raised
    return rates


def _thread_ended(what: threading.ExceptHookArgs) -> None:
    name = None if what.thread is None else what.thread.name
    structlog.get_logger().error(
        "a thread ended unexpectedly", thread=name, exc_info=what.exc_value or True
    )


def _not_raised(what: "sys.UnraisableHookArgs") -> None:
    structlog.get_logger().error(
        "an exception had nobody to tell", where=repr(what.object), exc_info=what.exc_value or True
    )


def _cut(text: str, bytes_max: int = TEXT_BYTES_MAX, kept: str = "") -> str:
    """At most `bytes_max` bytes of it, and how many it has; no control characters but `kept`."""
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) > bytes_max:
        text = f"{raw[:bytes_max].decode('utf-8', 'ignore')}... ({len(raw)} bytes)"
    return "".join(c if c.isprintable() or c in kept else repr(c)[1:-1] for c in text)


def _cut_texts(_: Any, __: str, event: _Event) -> _Event:
    for name, value in event.items():
        if name != "exc_info" and not isinstance(value, int | float | None):
            event[name] = _cut(str(value))
    return event


def _cut_exceptions(_: Any, __: str, event: _Event) -> _Event:
    if "exception" in event:
        event["exception"] = [_cut_exception(each) for each in event["exception"][:EXCEPTIONS_MAX]]
    return event


def _cut_exception(told: dict[str, Any]) -> dict[str, Any]:
    told["exc_value"] = _cut(told["exc_value"])
    told["exc_notes"] = [_cut(note) for note in told["exc_notes"][:EXCEPTIONS_MAX]]
    told["exceptions"] = [
        [_cut_exception(each) for each in chain[:EXCEPTIONS_MAX]]
        for chain in told["exceptions"][:EXCEPTIONS_MAX]
    ]
    return told


def _write_traceback(to: TextIO, exc_info: Any) -> None:
    whole = io.StringIO()
    structlog.dev.plain_traceback(whole, exc_info)
    to.write(_cut(whole.getvalue(), TRACEBACK_BYTES_MAX, kept="\n"))
