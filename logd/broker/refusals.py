"""What this broker refuses for reasons of its own: told in cluster health, and on stderr.

Errors leave a broker in two ways: a call raises one, or an entry of its answer holds one. A
Dispatcher tells of both, but for the entries of streams, which these note themselves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from google.protobuf.message import Message

from logd.model.cluster import HealthProblem
from logd.model.errors import (
    AckTimeout,
    BrokerDraining,
    CoordinatorLoading,
    LogReadOnly,
    Overloaded,
    StorageFull,
    StoredDataCorrupt,
    SyncFailed,
)
from logd.model.seams import Clock

logger = structlog.get_logger()

TOLD_MS = 60_000
"""So long after the last one, and at most one line of each on stderr in that time."""
GROUPS_MAX = 100
"""Told of; clients name them. Reasons and limits are names in the code."""
MESSAGE_CHARS_MAX = 400
SEVERITIES = {
    AckTimeout.reason: "warning",
    BrokerDraining.reason: "warning",
    CoordinatorLoading.reason: "warning",
    LogReadOnly.reason: "error",
    Overloaded.reason: "warning",
    StorageFull.reason: "error",
    StoredDataCorrupt.reason: "error",
    SyncFailed.reason: "error",
}
"""Of the reasons that are the broker's own; every other is for the client to mend."""
TWO_CONSUMERS = "TWO_CONSUMERS"

_Kind = tuple[str, str]
"""Reason, and the limit or group where it has one."""


class Told(Protocol):
    """A LogdError, or one on the wire."""

    @property
    def reason(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def details(self) -> Mapping[str, str]: ...


@dataclass(slots=True)
class _Noted:
    """`message` is the last one's; times on the monotonic clock but for `since_ms`."""

    severity: str
    since_ms: int
    count: int = 0
    message: str = ""
    last_ms: int = 0
    line_at_ms: int = 0


class Refusals:
    """On the loop. Implements `dispatcher.Watch`; a source of a SingleBroker."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted: dict[_Kind, _Noted] = {}

    def note(self, error: Told) -> None:
        """An error that a client is given; what is the client's own doing is passed over."""
        severity = SEVERITIES.get(error.reason)
        if severity is not None:
            self._note(severity, error.reason, error.details.get("limit", ""), error.message)

    def problems(self) -> Sequence[HealthProblem]:
        self._forget_old()
        return [
            HealthProblem(
                noted.severity,
                reason,
                resource or "requests",
                f"{noted.count} times, the last "
                f"{(self._clock.monotonic_ms() - noted.last_ms) // 1000} s ago: {noted.message}",
                noted.since_ms,
            )
            for (reason, resource), noted in self._noted.items()
        ]

    def answered(self, request: Any, response: Any) -> None:
        """What one call was given: its entries may hold errors."""
        for entry_error in _entry_errors(response):
            self.note(entry_error)
        if other := getattr(response, "also_consumed_by", ""):
            self._note(
                "warning",
                TWO_CONSUMERS,
                f"group:{request.group}",
                f"'{request.consumer_id}' and '{other}' consume the same partitions of group "
                f"'{request.group}', and each commits over the other: stop one, or give it other "
                "partitions or another group",
            )

    def _note(self, severity: str, reason: str, resource: str, message: str) -> None:
        self._forget_old()
        kind = reason, resource
        full = len(self._noted) >= GROUPS_MAX
        if full and reason == TWO_CONSUMERS and kind not in self._noted:
            return
        now_ms = self._clock.monotonic_ms()
        noted = self._noted.setdefault(
            kind, _Noted(severity, self._clock.wall_ms(), line_at_ms=now_ms)
        )
        noted.count += 1
        noted.message, noted.last_ms = message[:MESSAGE_CHARS_MAX], now_ms
        if now_ms >= noted.line_at_ms:
            noted.line_at_ms = now_ms + TOLD_MS
            logger.warning(
                "clients are refused or warned",
                reason=reason,
                resource=resource,
                count=noted.count,
                error=noted.message,
            )

    def _forget_old(self) -> None:
        now_ms = self._clock.monotonic_ms()
        for kind in [k for k, n in self._noted.items() if now_ms - n.last_ms >= TOLD_MS]:
            del self._noted[kind]


def _entry_errors(response: Message) -> Iterator[Told]:
    for field, entries in response.ListFields():
        kind = field.message_type
        if kind is not None and field.is_repeated and "error" in kind.fields_by_name:
            yield from (entry.error for entry in entries if entry.HasField("error"))
