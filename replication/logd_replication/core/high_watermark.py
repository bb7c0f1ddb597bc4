"""The high watermark of one partition: up to where its in-sync replicas hold the log.

Decided by the leader, outside of any log. It is the minimum of what the members of the ISR hold
(`held_end`: what counts as safely held under the topic's durability); while a change of the ISR is
under way that of the larger set counts, so that neither outcome finds an acknowledged record with
too few. It moves only while the committed ISR has `min_insync_replicas` members (KIP-966), and
never falls: readers have seen what lies below it.
"""

from collections.abc import Collection

from logd.model.ids import BrokerId, Offset

_NOTHING_SAID = Offset(-1)


class HighWatermark:
    """Pure. `offset` is exclusive. With one replica it is what that replica holds."""

    __slots__ = ("_counted", "_held", "_moves", "offset")

    def __init__(
        self, offset: Offset, isr: Collection[BrokerId], min_insync_replicas: int = 1
    ) -> None:
        """`offset`: where it is known to have been. No replica has said what it holds."""
        self.offset = offset
        self._held: dict[BrokerId, Offset] = {}
        self.change_isr(isr, min_insync_replicas=min_insync_replicas)

    def holds(self, replica: BrokerId, end: Offset) -> Offset:
        """`replica` holds all below `end`; where the high watermark is then.

        Also of a replica out of the ISR: it counts once it is in. What another leader epoch or
        another run of that broker has said must not come here.
        """
        self._held[replica] = end
        if self._moves and end > self.offset:
            self.offset = max(self.offset, min(map(self._held.__getitem__, self._counted)))
        return self.offset

    def change_isr(
        self,
        isr: Collection[BrokerId],
        pending: Collection[BrokerId] = (),
        *,
        min_insync_replicas: int,
    ) -> Offset:
        """The committed ISR, and the one that is asked for, if any; where the watermark is then."""
        self._counted = tuple(dict.fromkeys((*isr, *pending)))
        self._moves = len(isr) >= max(1, min_insync_replicas)
        for replica in self._counted:
            self._held.setdefault(replica, _NOTHING_SAID)
        if self._moves:
            self.offset = max(self.offset, min(map(self._held.__getitem__, self._counted)))
        return self.offset
