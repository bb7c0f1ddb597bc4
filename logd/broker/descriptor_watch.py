"""Tells in cluster health when file descriptors run short, as long as they do."""

from collections.abc import Callable, Sequence

from logd.model.cluster import HealthProblem
from logd.model.seams import Clock

LOW_ABOVE = 0.8
ENOUGH_BELOW = 0.7
"""Parts of the limit. Between them what was told last stands, so that it does not flicker."""
LOOK_AGAIN_MS = 1_000
"""A count may take a while, and health may be asked by many."""


class DescriptorWatch:
    """`count` gives how many are open, None: not known here; it raises OSError where there is none
    left to look with. `limit` gives how many may be, None: any number."""

    def __init__(
        self, clock: Clock, count: Callable[[], int | None], limit: Callable[[], int | None]
    ) -> None:
        self._clock = clock
        self._count = count
        self._limit = limit
        self._look_at_ms = clock.monotonic_ms()
        self._problem: HealthProblem | None = None

    def problems(self) -> Sequence[HealthProblem]:
        """A source of a SingleBroker."""
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._look_at_ms:
            self._look_at_ms = now_ms + LOOK_AGAIN_MS
            self._look()
        return () if self._problem is None else [self._problem]

    def _look(self) -> None:
        limit = self._limit()
        if limit is None:
            self._problem = None
            return
        try:
            count = self._count() or 0
        except OSError:
            count = limit
        if count > limit * LOW_ABOVE or (self._problem and count >= limit * ENOUGH_BELOW):
            since_ms = self._problem.since_ms if self._problem else self._clock.wall_ms()
            self._problem = HealthProblem(
                "warning",
                "FILE_DESCRIPTORS_LOW",
                "process",
                f"{count} of {limit} file descriptors are open, and each connection of a client "
                "takes one: raise the hard limit (LimitNOFILE= of systemd, --ulimit nofile= of a "
                "container, ulimit -Hn) and restart the broker, or have clients connect less",
                since_ms,
            )
        else:
            self._problem = None
