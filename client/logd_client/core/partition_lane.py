"""What a producer keeps for one partition: the batches on their way there, in order."""

from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

from logd.model.errors import DeliveryTimeout
from logd.model.ids import ProducerEpoch, ProducerId
from logd_client.core.backoff import Backoff
from logd_client.core.open_batch import OpenBatch
from logd_client.core.producer_batch import ProducerBatch

if TYPE_CHECKING:
    from logd_client.core.topic_lanes import TopicLanes

SEQUENCE_MASK = (1 << 31) - 1
"""Sequences count 0 .. 2^31 - 1 and go on at 0."""


class LaneState(Enum):
    """Whether a lane may send, and if not, what it waits for.

    The settling states wait until no batch is in flight: only then is it known what the partition
    holds, and only then may a batch be sent a second time without passing another.
    """

    FLOWING = auto()
    SETTLING_TO_RETRY = auto()
    SETTLING_TO_REROUTE = auto()
    SETTLING_TO_IDENTIFY = auto()
    BACKING_OFF = auto()
    REROUTING = auto()
    IDENTIFYING = auto()


class LaneEvent(Enum):
    """What can happen to a lane."""

    RETRY = auto()
    """A batch was not accepted for now, or left a gap that the later ones must close."""
    STALE = auto()
    """The topic's partitions are not what they were when the records were routed."""
    GAP = auto()
    """The partition's state of this producer is not ours: only a new epoch mends that."""
    SETTLED = auto()
    """Nothing is in flight."""
    WAITED = auto()
    """The wait before a retry is over."""
    REROUTED = auto()
    """The topic's metadata is new, and the records are where they belong."""
    IDENTIFIED = auto()
    """The producer has a new epoch or id."""


_S, _E = LaneState, LaneEvent
TRANSITIONS: dict[tuple[LaneState, LaneEvent], LaneState] = {
    (_S.FLOWING, _E.RETRY): _S.SETTLING_TO_RETRY,
    (_S.FLOWING, _E.STALE): _S.SETTLING_TO_REROUTE,
    (_S.FLOWING, _E.GAP): _S.SETTLING_TO_IDENTIFY,
    (_S.FLOWING, _E.SETTLED): _S.FLOWING,
    (_S.SETTLING_TO_RETRY, _E.RETRY): _S.SETTLING_TO_RETRY,
    (_S.SETTLING_TO_RETRY, _E.STALE): _S.SETTLING_TO_REROUTE,
    (_S.SETTLING_TO_RETRY, _E.GAP): _S.SETTLING_TO_IDENTIFY,
    (_S.SETTLING_TO_RETRY, _E.SETTLED): _S.BACKING_OFF,
    (_S.SETTLING_TO_REROUTE, _E.RETRY): _S.SETTLING_TO_REROUTE,
    (_S.SETTLING_TO_REROUTE, _E.STALE): _S.SETTLING_TO_REROUTE,
    (_S.SETTLING_TO_REROUTE, _E.GAP): _S.SETTLING_TO_IDENTIFY,
    (_S.SETTLING_TO_REROUTE, _E.SETTLED): _S.REROUTING,
    (_S.SETTLING_TO_IDENTIFY, _E.RETRY): _S.SETTLING_TO_IDENTIFY,
    (_S.SETTLING_TO_IDENTIFY, _E.STALE): _S.SETTLING_TO_IDENTIFY,
    (_S.SETTLING_TO_IDENTIFY, _E.GAP): _S.SETTLING_TO_IDENTIFY,
    (_S.SETTLING_TO_IDENTIFY, _E.SETTLED): _S.IDENTIFYING,
    (_S.BACKING_OFF, _E.RETRY): _S.BACKING_OFF,
    (_S.BACKING_OFF, _E.STALE): _S.REROUTING,
    (_S.BACKING_OFF, _E.GAP): _S.IDENTIFYING,
    (_S.BACKING_OFF, _E.SETTLED): _S.BACKING_OFF,
    (_S.BACKING_OFF, _E.WAITED): _S.FLOWING,
    (_S.REROUTING, _E.RETRY): _S.REROUTING,
    (_S.REROUTING, _E.STALE): _S.REROUTING,
    (_S.REROUTING, _E.GAP): _S.IDENTIFYING,
    (_S.REROUTING, _E.SETTLED): _S.REROUTING,
    (_S.REROUTING, _E.REROUTED): _S.FLOWING,
    (_S.IDENTIFYING, _E.RETRY): _S.IDENTIFYING,
    (_S.IDENTIFYING, _E.STALE): _S.IDENTIFYING,
    (_S.IDENTIFYING, _E.GAP): _S.IDENTIFYING,
    (_S.IDENTIFYING, _E.SETTLED): _S.IDENTIFYING,
    (_S.IDENTIFYING, _E.REROUTED): _S.IDENTIFYING,
    (_S.IDENTIFYING, _E.IDENTIFIED): _S.FLOWING,
}
"""Every pair that can occur. WAITED, REROUTED and IDENTIFIED reach only lanes that wait for them
(and REROUTED, which concerns a whole topic, its lanes that wait for an identity)."""

SETTLING = frozenset({_S.SETTLING_TO_RETRY, _S.SETTLING_TO_REROUTE, _S.SETTLING_TO_IDENTIFY})


ClosedBatch = tuple["PartitionLane", ProducerBatch]
"""A batch that is to be sent, and the lane that it belongs to."""


def follows(sequence: int, other: int) -> bool:
    """Whether `sequence` comes after `other`, counting round; they are close to each other."""
    return 0 < ((sequence - other) & SEQUENCE_MASK) < (1 << 30)


class PartitionLane:
    """One partition's batches: `open` (being filled), `queue` (full, no number yet), `unresolved`
    (numbered, oldest first; the first `in_flight` of them await an answer).

    `open` belongs to whoever adds records, under the accumulator's rule; the rest to the session.
    `given_up`: the time-out after which the lane needs a new identity. `hole`: the lowest number
    that a batch had which was given up without being appended: all later ones must be numbered
    anew.
    """

    __slots__ = (
        "backoff",
        "given_up",
        "hole",
        "identity",
        "in_flight",
        "is_ready",
        "next_sequence",
        "open",
        "partition",
        "queue",
        "reroutes",
        "resume_ms",
        "state",
        "topic",
        "unresolved",
    )

    def __init__(self, topic: "TopicLanes", partition: int, backoff: Backoff) -> None:
        self.topic = topic
        self.partition = partition
        self.backoff = backoff
        self.open: OpenBatch | None = None
        self.queue: deque[ProducerBatch] = deque()
        self.unresolved: deque[ProducerBatch] = deque()
        self.in_flight = 0
        self.state = LaneState.FLOWING
        self.identity: tuple[ProducerId, ProducerEpoch] | None = None
        self.next_sequence = 0
        self.hole: int | None = None
        self.given_up: DeliveryTimeout | None = None
        self.resume_ms = 0
        self.reroutes = 0
        self.is_ready = False

    def on(self, event: LaneEvent) -> None:
        """Take the transition."""
        after = TRANSITIONS.get((self.state, event))
        assert after is not None, f"{event} cannot happen to a lane that is {self.state}"
        self.state = after

    def end_open(self) -> ClosedBatch:
        """Close the open batch: whoever calls takes it. Records without keys go elsewhere now."""
        assert self.open is not None, "there is one"
        batch, self.open = self.open.close(), None
        self.topic.rotate(self)
        return self, batch

    def is_busy(self, in_flight_max: int) -> bool:
        """Whether a batch that is not full had better wait for more records."""
        return (
            self.state is not LaneState.FLOWING
            or len(self.unresolved) + len(self.queue) >= in_flight_max
        )

    def batches(self) -> list[ProducerBatch]:
        """All that are sealed and unresolved, oldest first."""
        return [*self.unresolved, *self.queue]

    def next_batch(self, in_flight_max: int) -> ProducerBatch | None:
        """The batch to send now, if one may be."""
        if self.state is not LaneState.FLOWING or self.in_flight >= in_flight_max:
            return None
        if self.in_flight < len(self.unresolved):
            return self.unresolved[self.in_flight]
        return self.queue[0] if self.queue and not self.queue[0].is_compressing else None

    def start(self, batch: ProducerBatch, identity: tuple[ProducerId, ProducerEpoch]) -> None:
        """`batch`, which next_batch() gave, is being sent: number it if it has no number."""
        if self.in_flight == len(self.unresolved):
            self.unresolved.append(self.queue.popleft())
        if self.identity is None:
            self.identity = identity
        if self.identity[0] < 0:
            batch.number(self.identity, -1)
        elif batch.base_sequence < 0:
            batch.number(self.identity, self.next_sequence)
            self.next_sequence = (self.next_sequence + batch.record_count) & SEQUENCE_MASK
        self.in_flight += 1

    def remove(self, batch: ProducerBatch, *, appended: bool) -> None:
        """Forget a sealed batch that is not in flight; its number stays used if `appended`."""
        if batch not in self.unresolved:
            self.queue.remove(batch)
            return
        self.unresolved.remove(batch)
        numbered = batch.base_sequence >= 0
        if (
            numbered
            and not appended
            and (self.hole is None or follows(self.hole, batch.base_sequence))
        ):
            self.hole = batch.base_sequence

    def close_hole(self) -> bool:
        """Number the batches behind a hole anew. False: one of them is in doubt, so it cannot be.

        Only while nothing is in flight.
        """
        assert self.in_flight == 0, "numbers change only while nothing is in flight"
        if self.hole is None:
            return True
        behind = [
            b for b in self.unresolved if b.base_sequence < 0 or follows(b.base_sequence, self.hole)
        ]
        if any(batch.in_doubt for batch in behind):
            return False
        for batch in behind:
            batch.unnumber()
        self.next_sequence, self.hole = self.hole, None
        return True

    def restart(self, identity: tuple[ProducerId, ProducerEpoch]) -> None:
        """Begin at sequence 0 under a new identity. Nothing may be in flight or in doubt."""
        for batch in self.unresolved:
            batch.unnumber()
        self.identity, self.next_sequence, self.hole = identity, 0, None
