"""Which partition's records the application is given next, and how much waits for it.

Partitions with something to deliver take turns. One that is paused or withheld has none, and one
whose next batch is not due yet in a replay waits for its time: what is buffered of a partition that
waits counts nowhere, since no application can make room by taking it.
"""

from collections import deque

from logd_client.core.fetch_session import FetchSession
from logd_client.core.partition_position import PartitionPosition
from logd_client.core.replay_pace import ReplayPace

AHEAD_BYTES_MAX = 1 << 20
"""Of a partition that waits for its time no more is fetched while so much of it waits."""


class DeliveryTurns:
    """All partitions of one consumer."""

    def __init__(self, session: FetchSession) -> None:
        self._session = session
        self._turn: deque[PartitionPosition] = deque()
        self.pace = ReplayPace()
        self.buffered_bytes = 0
        """Fetched and not delivered, of partitions that may be delivered now."""

    def queue(self, at: PartitionPosition) -> None:
        """It has something to deliver, or an error to tell; else nothing happens."""
        something = at.buffered or at.leftovers or at.error is not None
        if something and not at.in_turn and not at.held:
            at.in_turn = True
            self._turn.append(at)

    def queue_first(self, at: PartitionPosition) -> None:
        """It is next."""
        self.remove(at)
        at.in_turn = True
        self._turn.appendleft(at)

    def remove(self, at: PartitionPosition) -> None:
        if at.in_turn:
            self._turn.remove(at)
            at.in_turn = False

    def clear(self) -> None:
        self._turn.clear()

    def next(self) -> PartitionPosition | None:
        """Whose turn it is; it has to be queued again. None: nothing is to be delivered now."""
        for at in self.pace.due():
            self._let_go(at)
            self.queue(at)
        while self._turn:
            at = self._turn.popleft()
            at.in_turn = False
            stopped = at.paused or at.withheld
            if not stopped and not (self.pace.runs and self._hold_if_early(at)):
                return at
        return None

    # What is buffered

    def fetched(self, at: PartitionPosition, size_bytes: int) -> None:
        """So much more of it is buffered."""
        at.buffered_bytes += size_bytes
        if at.fills_the_buffer:
            self.buffered_bytes += size_bytes
        self.queue(at)

    def read(self, at: PartitionPosition, bytes_before: int) -> None:
        """Some of it was taken from the buffer, which had `bytes_before`."""
        self.buffered_bytes -= bytes_before - at.buffered_bytes
        if at.has_enough and 2 * at.buffered_bytes < AHEAD_BYTES_MAX:
            at.has_enough = False
            self._session.touch(at)

    def drop(self, at: PartitionPosition) -> None:
        """Its buffers are about to be dropped."""
        self._let_go(at)
        at.has_enough = False
        if not at.paused:
            self.buffered_bytes -= at.buffered_bytes

    def pause(self, at: PartitionPosition) -> None:
        if at.fills_the_buffer:
            self.buffered_bytes -= at.buffered_bytes
        at.paused = True
        self._session.touch(at)

    def resume(self, at: PartitionPosition) -> None:
        at.paused = False
        if at.fills_the_buffer:
            self.buffered_bytes += at.buffered_bytes
        self.queue(at)
        self._session.touch(at)

    def stop_fetching_if_enough(self, at: PartitionPosition) -> None:
        """Of a replay: where its end is fetched, or what waits for its time is much already."""
        ahead = at.held and not at.has_enough and at.buffered_bytes >= AHEAD_BYTES_MAX
        at.has_enough = at.has_enough or ahead
        if ahead or (at.end is not None and at.fetch_offset >= at.end):
            self._session.touch(at)

    # Inside

    def _hold_if_early(self, at: PartitionPosition) -> bool:
        """Let it wait where its next batch is not due yet; it stands in no turn meanwhile."""
        append_ms = at.next_append_ms()
        if append_ms is None or self.pace.is_due(append_ms):
            return False
        self.pace.hold(at, append_ms)
        at.held = True
        self.buffered_bytes -= at.buffered_bytes
        self.stop_fetching_if_enough(at)
        return True

    def _let_go(self, at: PartitionPosition) -> None:
        """It waits for its time no more."""
        self.pace.forget(at)
        if at.held:
            at.held = False
            if not at.paused:
                self.buffered_bytes += at.buffered_bytes
