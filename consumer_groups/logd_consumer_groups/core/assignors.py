"""Which member of a group reads which partition.

An assignor is a pure function: what members subscribe to and own, and the partitions that there
are, give the same assignment whatever order they come in. Each partition of a topic that somebody
subscribes to gets one owner, who subscribes to it. Another assignor is another class with `name`
and `assign`, in ASSIGNORS; the property tests of all run on it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

from logd.model.ids import TopicId, TopicPartition

Racks = frozenset[str]
"""Where the replicas of a partition are."""
Assignment = dict[str, frozenset[TopicPartition]]
"""Member id -> its partitions; every member is there."""


class Subscriber(NamedTuple):
    """A member as an assignor sees it: `topics` it wants, what it `owned` until now, its rack."""

    member_id: str
    topics: frozenset[TopicId]
    owned: frozenset[TopicPartition] = frozenset()
    rack: str = ""


class Assignor(Protocol):
    """`partitions`: all of the topics that anybody subscribes to, each with its racks."""

    @property
    def name(self) -> str: ...

    def assign(
        self, members: Sequence[Subscriber], partitions: Mapping[TopicPartition, Racks]
    ) -> Assignment: ...


class RangeAssignor:
    """Of each topic, members in the order of their ids get neighbouring partitions: the same member
    gets the same numbers of all topics, which joins of equally partitioned topics want."""

    name = "range"

    def assign(
        self, members: Sequence[Subscriber], partitions: Mapping[TopicPartition, Racks]
    ) -> Assignment:
        by_topic: dict[TopicId, list[TopicPartition]] = {}
        for each in sorted(partitions):
            by_topic.setdefault(each.topic_id, []).append(each)
        given: dict[str, set[TopicPartition]] = {member.member_id: set() for member in members}
        for topic_id, numbers in by_topic.items():
            subscribed = sorted(m.member_id for m in members if topic_id in m.topics)
            for index, member_id in enumerate(subscribed):
                begin = len(numbers) * index // len(subscribed)
                end = len(numbers) * (index + 1) // len(subscribed)
                given[member_id].update(numbers[begin:end])
        return {member_id: frozenset(owned) for member_id, owned in given.items()}


class UniformAssignor:
    """As many partitions to each as their subscriptions allow, and what can stay where it is stays.

    Nobody could give a partition, directly or by way of others, to somebody who has two fewer; so
    members with equal subscriptions differ by one at most. Where all subscriptions are equal no
    such assignment moves fewer partitions; where they are not, few do. What nobody has goes to a
    member in a rack of its replicas, of those that have the fewest. A move costs a look at all
    members: thousands of members that come at once belong off the loop.

    Each step is the way from one balanced state to the next: owners keep theirs, what nobody has
    goes to who has the fewest, and then partitions move along shortest paths from who has more to
    who has fewer, until no path is left (optimal semi-matchings, Harvey et al. 2006).
    """

    name = "uniform"

    def assign(
        self, members: Sequence[Subscriber], partitions: Mapping[TopicPartition, Racks]
    ) -> Assignment:
        table = _Table(sorted(members), partitions)
        table.place()
        while (path := table.path_to_fewer()) is not None:
            table.move_along(path)
        return {member_id: frozenset(owned) for member_id, owned in table.owned.items()}


class _Table:
    """Who has what while it is being decided. `owned` and `owners` say the same both ways."""

    def __init__(
        self, members: Sequence[Subscriber], partitions: Mapping[TopicPartition, Racks]
    ) -> None:
        self._members = {member.member_id: member for member in members}
        self._racks = partitions
        self._subscribers: dict[TopicId, list[str]] = {}
        self.owned: dict[str, set[TopicPartition]] = {m.member_id: set() for m in members}
        self.owners: dict[TopicPartition, str] = {}
        for member in members:
            for topic_id in member.topics:
                self._subscribers.setdefault(topic_id, []).append(member.member_id)
            for each in member.owned:
                is_free = each in partitions and each not in self.owners
                if is_free and each.topic_id in member.topics:
                    self._give(each, member.member_id)

    def place(self) -> None:
        """Give what nobody has to who has the fewest, of those in one of its racks if they have as
        few. Racks take turns, so that each finds members with room nearby."""
        turns = Counter[Racks]()
        free: list[tuple[int, list[str], TopicPartition]] = []
        for each in sorted(self._racks.keys() - self.owners):
            free.append((turns[self._racks[each]], sorted(self._racks[each]), each))
            turns[self._racks[each]] += 1
        heaps: dict[tuple[TopicId, str | None], list[tuple[int, str]]] = {}
        for topic_id, member_ids in self._subscribers.items():
            for member_id in member_ids:
                for rack in (None, self._members[member_id].rack):
                    entry = len(self.owned[member_id]), member_id
                    heappush(heaps.setdefault((topic_id, rack), []), entry)
        for *_, each in sorted(free):
            found = [(1, self._fewest(heaps, each.topic_id, None))]
            found += [(0, self._fewest(heaps, each.topic_id, rack)) for rack in self._racks[each]]
            best = min(((entry[0], far, entry[1]) for far, entry in found if entry), default=None)
            if best is not None:  # else nobody subscribes
                self._give(each, best[2])

    def _fewest(
        self,
        heaps: Mapping[tuple[TopicId, str | None], list[tuple[int, str]]],
        topic_id: TopicId,
        rack: str | None,
    ) -> tuple[int, str] | None:
        """The first of a heap, whose counts may be of before: they are put right on the way."""
        heap = heaps.get((topic_id, rack), [])
        while heap:
            count, member_id = heap[0]
            if count == len(self.owned[member_id]):
                return heap[0]
            heappop(heap)
            heappush(heap, (len(self.owned[member_id]), member_id))
        return None

    def path_to_fewer(self) -> list[tuple[TopicPartition, str]] | None:
        """Moves, each of one partition to a member, by which the first member of them that has two
        or more too many gives one away; None: the table is balanced."""
        counts = sorted((-len(owned), member_id) for member_id, owned in self.owned.items())
        if not counts or counts[-1][0] - counts[0][0] < 2:
            return None
        lost: set[str] = set()  # from whom no path was found, and so from all that they reach
        for negative, member_id in counts:
            if member_id in lost:
                continue
            reached = dict(self._reached_from(member_id, lost))
            fewest = min(reached, key=lambda other: len(self.owned[other]))
            if len(self.owned[fewest]) <= -negative - 2:
                return self._path(reached, fewest)
            lost |= reached.keys()
        return None

    def _reached_from(
        self, start: str, but: set[str]
    ) -> Iterator[tuple[str, tuple[str, TopicId] | None]]:
        """Members that something of `start` can come to, nearest first: each with from whom, and a
        partition of which topic it would get."""
        yield start, None
        queue, seen, topics = [start], {start}, set[TopicId]()
        for member_id in queue:
            for topic_id in sorted({each.topic_id for each in self.owned[member_id]} - topics):
                topics.add(topic_id)
                for other in self._subscribers[topic_id]:
                    if other not in seen and other not in but:
                        seen.add(other)
                        queue.append(other)
                        yield other, (member_id, topic_id)

    def _path(
        self, reached: Mapping[str, tuple[str, TopicId] | None], end: str
    ) -> list[tuple[TopicPartition, str]]:
        moves: list[tuple[TopicPartition, str]] = []
        while (step := reached[end]) is not None:
            giver, topic_id = step
            moves.append((self._dispensable(giver, topic_id, end), end))
            end = giver
        return moves

    def _dispensable(self, giver: str, topic_id: TopicId, taker: str) -> TopicPartition:
        """One that the giver did not have before, and that is near to the taker, if there is."""
        before, rack = self._members[giver].owned, self._members[taker].rack
        return min(
            (each for each in self.owned[giver] if each.topic_id == topic_id),
            key=lambda each: (each in before, rack not in self._racks[each], each),
        )

    def move_along(self, path: Sequence[tuple[TopicPartition, str]]) -> None:
        for each, member_id in path:
            self.owned[self.owners[each]].remove(each)
            self._give(each, member_id)

    def _give(self, each: TopicPartition, member_id: str) -> None:
        self.owned[member_id].add(each)
        self.owners[each] = member_id


ASSIGNORS: Mapping[str, Assignor] = {
    each.name: each for each in (UniformAssignor(), RangeAssignor())
}
"""By the name that a member asks for."""
