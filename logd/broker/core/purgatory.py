"""Where fetches wait for bytes: woken by what happens, never by polling.

A waiting fetch is completed by the first of these cases, and the code cites the letter:

  A  in the partitions it reads, at least the bytes it still needs have become readable
  B  its time is up
  C  a partition it reads is gone or can't be read any more
  D  the log's start moved past a position it reads
  E  the broker drains
  F  its client went away or asked anew on the same stream

Cost: O(waiters of the one partition) an event; where nothing happens, nothing is done.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum

from logd.model.errors import Overloaded
from logd.model.ids import Offset, TopicPartition
from logd.model.record_batch import HEADER_BYTES

WAITING_FETCHES_MAX = 100_000
"""About 1 KiB each: bounds what waiting clients can make the broker hold to some 100 MiB."""
WAITED_FOR_MAX = 1_000_000
"""Partitions that they wait for, each counted once a fetch, some 100 bytes each: 100 MiB more."""


class Case(StrEnum):
    BYTES = "A"
    TIME_UP = "B"
    PARTITION_GONE = "C"
    START_MOVED = "D"
    DRAINING = "E"
    CLIENT_GONE = "F"


class WaitingFetch:
    """One fetch in the purgatory. `wake` is called exactly once, when it leaves."""

    __slots__ = ("needed_bytes", "partitions", "wake")

    def __init__(
        self,
        partitions: Iterable[TopicPartition],
        needed_bytes: int,
        wake: Callable[[Case], None],
    ) -> None:
        self.partitions = tuple(partitions)
        self.needed_bytes = needed_bytes
        self.wake = wake


class Purgatory:
    """All waiting fetches, by partition. Called on the broker's loop only."""

    def __init__(self) -> None:
        self._by_partition: dict[TopicPartition, dict[WaitingFetch, None]] = {}
        self._waiting: dict[WaitingFetch, None] = {}
        self._waited_for = 0
        self._draining = False

    def __len__(self) -> int:
        return len(self._waiting)

    def watch(self, fetch: WaitingFetch) -> None:
        """Take a fetch in. Raises Overloaded past WAITING_FETCHES_MAX and WAITED_FOR_MAX."""
        if self._draining:  # case E
            fetch.wake(Case.DRAINING)
            return
        if len(self._waiting) >= WAITING_FETCHES_MAX:
            raise Overloaded(
                f"{WAITING_FETCHES_MAX} fetches wait already", limit="waiting_fetches_max"
            )
        if self._waited_for + len(fetch.partitions) > WAITED_FOR_MAX:
            raise Overloaded(
                f"fetches wait for {self._waited_for} partitions already; all of them together may "
                f"for {WAITED_FOR_MAX}",
                limit="waited_for_max",
            )
        self._waiting[fetch] = None
        self._waited_for += len(fetch.partitions)
        for partition in fetch.partitions:
            self._by_partition.setdefault(partition, {})[fetch] = None

    def advanced(
        self,
        partition: TopicPartition,
        old: Offset,
        new: Offset,
        bytes_between: Callable[[Offset, Offset], int],
    ) -> None:
        """Case A: what could be read of `partition` up to `old`, can be up to `new`.

        `bytes_between` is asked at most once, and only for a fetch that needs more than a batch
        has at the least. Where it gives too much the fetch looks, and waits again.
        """
        waiters = self._by_partition.get(partition)
        if waiters is None or new <= old:
            return
        new_bytes = HEADER_BYTES
        if any(fetch.needed_bytes > HEADER_BYTES for fetch in waiters):
            new_bytes = bytes_between(old, new)
        for fetch in tuple(waiters):
            fetch.needed_bytes -= new_bytes
            if fetch.needed_bytes <= 0:
                self._complete(fetch, Case.BYTES)

    def time_up(self, fetch: WaitingFetch) -> None:
        """Case B."""
        self._complete(fetch, Case.TIME_UP)

    def partition_gone(self, partition: TopicPartition) -> None:
        """Case C."""
        for fetch in tuple(self._by_partition.get(partition, ())):
            self._complete(fetch, Case.PARTITION_GONE)

    def start_moved(self, partition: TopicPartition) -> None:
        """Case D. Whether a position is really out of the log, its read finds out."""
        for fetch in tuple(self._by_partition.get(partition, ())):
            self._complete(fetch, Case.START_MOVED)

    def drain(self) -> None:
        """Case E: complete all, and whatever still comes."""
        self._draining = True
        for fetch in tuple(self._waiting):
            self._complete(fetch, Case.DRAINING)

    def abandon(self, fetch: WaitingFetch) -> None:
        """Case F."""
        self._complete(fetch, Case.CLIENT_GONE)

    def _complete(self, fetch: WaitingFetch, case: Case) -> None:
        if fetch not in self._waiting:
            return  # two cases in one turn: the first has won
        del self._waiting[fetch]
        self._waited_for -= len(fetch.partitions)
        for partition in dict.fromkeys(fetch.partitions):
            waiters = self._by_partition[partition]
            del waiters[fetch]
            if not waiters:
                del self._by_partition[partition]
        fetch.wake(case)
