"""One watch of the embedded metadata store: what it has seen, and what waits for its reader."""

import asyncio
from collections import deque
from collections.abc import Sequence

from logd.model.seams import MetadataEvent

PENDING_EVENTS_MAX = 1000


class MetadataWatch:
    """Events for one reader, in memory while it keeps up; loop only, used by the store only.

    Invariant: while `behind` is False, `pending` holds every event with the prefix up to
    `seen_revision` that the reader has not taken. A transaction is taken in whole or not at all, so
    that catching up after `seen_revision` neither loses nor repeats an event.
    """

    def __init__(self, prefix: str, after_revision: int) -> None:
        self.prefix = prefix
        self.seen_revision = after_revision
        self.pending: deque[MetadataEvent] = deque()
        self.behind = True
        self.closed = False
        self._wake = asyncio.Event()

    def publish(self, events: Sequence[MetadataEvent]) -> None:
        """Take in the events of one or more transactions that were just committed."""
        if self.behind:
            return
        mine = [event for event in events if event.key.startswith(self.prefix)]
        if len(self.pending) + len(mine) > PENDING_EVENTS_MAX:
            self.behind = True
        else:
            self.pending.extend(mine)
            self.seen_revision = events[-1].revision
        self._wake.set()

    def caught_up(self, events: Sequence[MetadataEvent], revision: int) -> None:
        """Take in what the changes table held after `seen_revision`, up to `revision`."""
        self.pending.extend(events)
        self.seen_revision = max(self.seen_revision, revision)
        self.behind = False

    def close(self) -> None:
        """End the reader's iteration once it has taken what is pending."""
        self.closed = True
        self._wake.set()

    async def wait(self) -> None:
        """Until something was published or the store closed."""
        self._wake.clear()
        if not self.closed:
            await self._wake.wait()
