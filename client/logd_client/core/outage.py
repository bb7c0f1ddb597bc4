"""How long a client has been without an answer, and when that is worth telling."""

FIRST_TOLD_MS = 5_000
TOLD_INTERVAL_MS_MAX = 300_000
APART_MS = 60_000
"""Failures further apart belong to two outages: nothing was tried in between."""


class Outage:
    """Told of each try that failed, and of its end. Times are ms of a monotonic clock.

    It is to be told when it has lasted FIRST_TOLD_MS, then each time that it has become twice as
    long, or TOLD_INTERVAL_MS_MAX longer.
    """

    __slots__ = ("_failed_ms", "_since_ms", "_tell_at_ms", "_told")

    def __init__(self) -> None:
        self._since_ms: int | None = None
        self._failed_ms = 0
        self._tell_at_ms = 0
        self._told = False

    def failed(self, now_ms: int) -> int | None:
        """How long it has lasted, if that is to be told now."""
        if self._since_ms is None or now_ms - self._failed_ms > APART_MS:
            self._since_ms, self._tell_at_ms = now_ms, now_ms + FIRST_TOLD_MS
            self._told = False
        self._failed_ms = now_ms
        if now_ms < self._tell_at_ms:
            return None
        self._told = True
        lasted_ms = now_ms - self._since_ms
        self._tell_at_ms = now_ms + min(lasted_ms, TOLD_INTERVAL_MS_MAX)
        return lasted_ms

    @property
    def lasts(self) -> bool:
        """Whether the last try failed."""
        return self._since_ms is not None

    def end(self, now_ms: int) -> int | None:
        """There was an answer. How long it had lasted, if it was told of: then this is, too."""
        since_ms, self._since_ms = self._since_ms, None
        told, self._told = self._told, False
        return now_ms - since_ms if told and since_ms is not None else None
