"""A clock that stands still until a test moves it."""


class ManualClock:
    """Implements `logd.model.seams.Clock`; all three clocks move together."""

    def __init__(self, wall_ms: int = 1_700_000_000_000) -> None:
        self._wall_ms = wall_ms
        self._elapsed_ms = 0

    def wall_ms(self) -> int:
        return self._wall_ms + self._elapsed_ms

    def monotonic_ms(self) -> int:
        return self._elapsed_ms

    def boottime_ms(self) -> int:
        return self._elapsed_ms

    def jump_wall(self, ms: int) -> None:
        """Somebody sets the wall clock; the others go on."""
        self._wall_ms += ms

    def advance(self, ms: int) -> None:
        """Let time pass."""
        self._elapsed_ms += ms
