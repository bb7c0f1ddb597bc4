"""Decides what a damaged log means: a torn tail, which is cut, or corruption, which is kept.

Pure. The recovery scan tells what it finds, in order, and asks for the verdict at the end. The
rule: damage where offset E should be is corruption if E had been synced, that is if E
lies below the recovery point, or if any later valid batch was stamped when the log was synced
beyond E (`synced_hint`). Otherwise nobody was told that it is on disk, and everything from E on is
a torn tail.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from logd.model.ids import Offset
from logd.model.record_batch import BatchHeader


class Place(NamedTuple):
    """A byte position in a segment (by its number in the listing), where `offset` should begin.

    `zeros`: nothing but zeros stands there, to the segment's end.
    """

    segment: int
    position: int
    offset: Offset
    zeros: bool = False


class LostRange(NamedTuple):
    """Offsets [place.offset, next_offset) can't be served; the log goes on at next_offset."""

    place: Place
    next_offset: Offset


@dataclass(frozen=True, slots=True)
class TailVerdict:
    """`cut`: everything from there on goes. `next_offset`: of the next append.

    `new_segment`: the last segment keeps damaged bytes or ends below `next_offset`, so appends go
    to a new one.
    """

    cut: Place | None
    lost: tuple[LostRange, ...]
    next_offset: Offset
    new_segment: bool


@dataclass(slots=True)
class _Spot:
    place: Place
    resumed_at: Offset | None = None
    hint: int = -1
    """The highest synced_hint of the valid batches between this spot and the next."""


@dataclass(slots=True)
class TailJudge:
    """`synced_offset`: the recovery point's. `end`: the offset where the scan starts, then behind
    the last valid batch. `hints_count`: see `LogRecovery`."""

    synced_offset: Offset
    end: Offset
    hints_count: bool = True
    _base_offset: int = 0
    _hint: int = -1
    _spots: list[_Spot] = field(default_factory=list)

    def segment(self, base_offset: Offset) -> None:
        """A segment of this name begins: its offsets were given out, even if it is empty."""
        self._base_offset = base_offset

    def batch(self, header: BatchHeader) -> None:
        """The next valid batch."""
        if self._spots:
            spot = self._spots[-1]
            if spot.resumed_at is None:
                spot.resumed_at = header.base_offset
            if self.hints_count:
                spot.hint = max(spot.hint, header.synced_hint)
        self._hint = max(self._hint, header.synced_hint)
        self.end = header.next_offset

    def damage(self, place: Place) -> None:
        """No batch where one should be. Two such places with no batch between them are one."""
        if not self._spots or self._spots[-1].resumed_at is not None:
            self._spots.append(_Spot(place))

    def verdict(self) -> TailVerdict:
        hint, corrupt = -1, []
        for spot in reversed(self._spots):  # a hint speaks for all damage before it
            hint = max(hint, spot.hint)
            offset = spot.place.offset
            corrupt.append(offset < self.synced_offset or hint > offset)
        safe = Offset(max(self.end, self.synced_offset, self._hint, self._base_offset))
        lost: list[LostRange] = []
        for spot, is_corrupt in zip(self._spots, reversed(corrupt), strict=True):
            if not is_corrupt:
                return TailVerdict(spot.place, tuple(lost), spot.place.offset, bool(lost))
            resumed_at = safe if spot.resumed_at is None else spot.resumed_at
            lost.append(LostRange(spot.place, resumed_at))
        return TailVerdict(None, tuple(lost), safe, bool(lost))
