"""The clocks of a simulated machine."""

from logd.sim.virtual_loop import VirtualLoop

EPOCH_MS = 1_700_000_000_000
"""The wall clock when a simulation begins: 2023-11-14."""


class SimulatedClock:
    """Implements `logd.model.seams.Clock` on virtual time. The wall clock can be made to jump."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._offset_ms = EPOCH_MS

    def wall_ms(self) -> int:
        return self._offset_ms + self.monotonic_ms()

    def monotonic_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def boottime_ms(self) -> int:
        return self.monotonic_ms()

    def jump(self, ms: int) -> None:
        """Set the wall clock `ms` on, or back."""
        self._offset_ms += ms
