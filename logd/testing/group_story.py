"""Judges how members of a consumer group shared its partitions: did the group keep its promises?

    story = GroupStory()
    ...                                    # members call story.assigned(...) and so on
    assert story.findings(now_ms=end, gap_ms=11_000) == []

It knows nothing of how groups work, only what members were told and given, and finds

- two owners: a partition was given to a member while another still had it, who then gave it up, or
  went on; one who is told later that it is lost, or is dead, was cut off, and had it no more
- unowned: a partition that was had by somebody was had by nobody for longer than `gap_ms`, while
  there was a member to have it
- skipped: a record below the committed offset that no member was given
- again: a record was given to who has its partition, though a commit was accepted that has it done
- counted anew: its attempt has a number that a commit which was accepted has already
- refused: a commit of who had the partition all the time was refused
- nobody's: a committed offset was found, or granted, above all that members tried to commit
- went back: a committed offset was found below one that was accepted, without a rewind

Times are in ms on one clock. A partition is named as you like, for example 'orders:3'.
"""

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class _Partition:
    owner: str = ""
    free_since_ms: int | None = None
    """Since when nobody has it; None: somebody has, or nobody ever had."""
    first: int | None = None
    given: set[int] = field(default_factory=set)
    tried: int = -1
    committed: int = -1
    done: set[int] = field(default_factory=set)
    """Beyond what is committed, by commits that were accepted."""
    attempts: dict[int, int] = field(default_factory=dict)
    """Offset -> how often it was tried, by such commits."""


class GroupStory:
    """Of one group. Call each method when the thing happens, in order."""

    def __init__(self) -> None:
        self._partitions: dict[str, _Partition] = defaultdict(_Partition)
        self._members: set[str] = set()
        self._findings: list[str] = []
        self._overlaps: dict[tuple[str, str], str] = {}
        self.longest_gap_ms = 0
        self.valid_commits_refused = 0

    def joined(self, member: str) -> None:
        self._members.add(member)

    def assigned(self, now_ms: int, member: str, partition: str, offset: int = 0) -> None:
        """To begin at `offset`."""
        one = self._partitions[partition]
        if offset > max(0, one.tried):
            self._findings.append(f"nobody's: {partition} was granted from {offset} on")
        if one.owner and one.owner != member:
            overlap = f"two owners: {partition} went to {member}, {one.owner} has it"
            self._overlaps[one.owner, partition] = overlap
        if one.free_since_ms is not None:
            self.longest_gap_ms = max(self.longest_gap_ms, now_ms - one.free_since_ms)
        one.owner, one.free_since_ms = member, None

    def released(self, now_ms: int, member: str, partition: str) -> None:
        """By on_revoked."""
        if overlap := self._overlaps.pop((member, partition), ""):
            self._findings.append(overlap)
        self._free(now_ms, member, partition)

    def lost(self, now_ms: int, member: str, partition: str) -> None:
        """By on_lost."""
        self._overlaps.pop((member, partition), None)
        self._free(now_ms, member, partition)

    def _free(self, now_ms: int, member: str, partition: str) -> None:
        one = self._partitions[partition]
        if one.owner == member:
            one.owner, one.free_since_ms = "", now_ms

    def gone(self, now_ms: int, member: str) -> None:
        """It left, was killed, or was frozen: what it believes to have counts no more."""
        self._members.discard(member)
        for name in self._partitions:
            self.lost(now_ms, member, name)
        if not self._members:
            for one in self._partitions.values():
                one.free_since_ms = None

    def delivered(self, partition: str, offset: int, member: str = "") -> None:
        """Of who processes several at a time: it is done with the record."""
        one = self._partitions[partition]
        has_it = one.owner == member
        if has_it and (offset < one.committed or offset in one.done):
            self._findings.append(f"again: {partition} {offset}, by {member}")
        one.first = offset if one.first is None else min(one.first, offset)
        one.given.add(offset)

    def tried(self, partition: str, offset: int, attempt: int, member: str) -> None:
        """A record is given for this attempt."""
        one = self._partitions[partition]
        if one.owner == member and attempt <= one.attempts.get(offset, 0):
            self._findings.append(f"counted anew: {partition} {offset}, attempt {attempt}")

    def were_given(self, partition: str, offsets: range) -> bool:
        """Some, and each of them to somebody."""
        return bool(offsets) and self._partitions[partition].given.issuperset(offsets)

    def commits(self, partition: str, offset: int) -> None:
        """A member is about to."""
        one = self._partitions[partition]
        one.tried = max(one.tried, offset)

    def committed(self, partition: str, offset: int) -> None:
        """A commit was accepted; answers to several members may come in any order."""
        one = self._partitions[partition]
        one.tried = max(one.tried, offset)
        one.committed = max(one.committed, offset)

    def committed_beyond(
        self, partition: str, done: set[int], attempts: dict[int, int] | None = None
    ) -> None:
        """A commit was accepted that has these done, wherever it is, and these tried so often."""
        self._partitions[partition].done |= done
        self._partitions[partition].attempts |= attempts or {}

    def found(self, partition: str, offset: int) -> None:
        """A look at the group showed this, which began after all that is noted."""
        one = self._partitions[partition]
        if offset > one.tried:
            self._findings.append(f"nobody's: {partition} is committed to {offset}")
        if offset < one.committed:
            self._findings.append(f"went back: {partition} from {one.committed} to {offset}")
        one.committed = offset

    def refused(self, member: str, partition: str, offset: int) -> None:
        if self._partitions[partition].owner == member:
            self.valid_commits_refused += 1
            self._findings.append(f"refused: {member} has {partition} and committed {offset}")

    def rewound(self, partition: str, offset: int) -> None:
        """On purpose: what was given counts as before, what is committed is `offset`."""
        one = self._partitions[partition]
        one.committed = one.tried = offset
        one.done.clear()
        one.attempts.clear()

    def deleted(self) -> None:
        """The group was, while it had no member: its records are given anew."""
        self._partitions.clear()

    def may_be_deleted(self) -> None:
        """Somebody tried, while it had no member, and does not know what became of it."""
        for one in self._partitions.values():
            one.committed = -1
            one.done.clear()
            one.attempts.clear()

    def findings(self, now_ms: int, gap_ms: int) -> list[str]:
        """All that is wrong, up to now."""
        found = [*self._findings, *self._overlaps.values()]
        for name, one in sorted(self._partitions.items()):
            if one.first is not None:
                skipped = set(range(one.first, one.committed)) - one.given
                if skipped:
                    found.append(
                        f"skipped: {name} is committed to {one.committed} without {skipped}"
                    )
            if one.free_since_ms is not None and now_ms - one.free_since_ms > gap_ms:
                found.append(f"unowned: {name} for {now_ms - one.free_since_ms} ms")
        if self.longest_gap_ms > gap_ms:
            found.append(f"unowned: a partition for {self.longest_gap_ms} ms")
        return found
