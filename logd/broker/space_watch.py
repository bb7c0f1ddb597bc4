"""Tells in cluster health while the disk has no space for appends, be any refused or not."""

from collections.abc import Callable, Sequence

from logd.model.cluster import HealthProblem
from logd.model.errors import StorageFull
from logd.model.seams import Clock

FULL_BELOW_BYTES = 1 << 20
ENOUGH_ABOVE_BYTES = 2 << 20
"""Above the reserve. Between them what was told last stands, so that it does not flicker."""
LOOK_AGAIN_MS = 1_000


class SpaceWatch:
    """A source of a SingleBroker. `reserve_bytes` of the disk under `path` are not for appends of
    users; `free_bytes` raises OSError where the disk does not answer."""

    def __init__(
        self, clock: Clock, path: str, reserve_bytes: int, free_bytes: Callable[[str], int]
    ) -> None:
        self._clock = clock
        self._path = path
        self._reserve_bytes = reserve_bytes
        self._free_bytes = free_bytes
        self._look_at_ms = clock.monotonic_ms()
        self._problem: HealthProblem | None = None

    def problems(self) -> Sequence[HealthProblem]:
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._look_at_ms:
            self._look_at_ms = now_ms + LOOK_AGAIN_MS
            self._look()
        return () if self._problem is None else [self._problem]

    def _look(self) -> None:
        try:
            free = self._free_bytes(self._path)
        except OSError:
            return
        enough = ENOUGH_ABOVE_BYTES if self._problem else FULL_BELOW_BYTES
        if free - self._reserve_bytes >= enough:
            self._problem = None
            return
        since_ms = self._problem.since_ms if self._problem else self._clock.wall_ms()
        self._problem = HealthProblem(
            "error",
            StorageFull.reason,
            self._path,
            f"the disk has {free} bytes free, of which {self._reserve_bytes} are kept for offsets "
            "and metadata: producers are refused; free space, add a disk, delete topics, or "
            "shorten the retention of large topics; writes go on by themselves then",
            since_ms,
        )
