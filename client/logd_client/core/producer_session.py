"""The idempotent producer's protocol, without I/O: what to send, and what answers mean.

Source: KIP-98 and KIP-360 for the idea; the rules here are logd's own (docs/guarantees.md).
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from logd.model.errors import (
    CorruptBatch,
    DeliveryTimeout,
    InconsistentTopicId,
    LogdError,
    OutOfOrderSequence,
    ProducerFenced,
    RecordTooLarge,
    StalePartitioning,
    UnknownPartition,
    UnknownProducer,
    UnknownTopic,
)
from logd.model.ids import ProducerEpoch, ProducerId
from logd.model.record_batch import Codec
from logd_client.core.outcomes import expired, state_lost, topic_lost, with_outcome
from logd_client.core.partition_lane import ClosedBatch, LaneEvent, LaneState, PartitionLane
from logd_client.core.producer_actions import (
    NO_IDENTITY,
    Action,
    BreakStream,
    GetIdentity,
    Identity,
    RefreshTopic,
    Settled,
)
from logd_client.core.producer_batch import BatchReceipt, ProducerBatch
from logd_client.core.topic_lanes import TopicLanes

TOPIC_GONE = (UnknownTopic, UnknownPartition, InconsistentTopicId)
MISROUTED = (StalePartitioning, *TOPIC_GONE)
"""Refusals that fresh metadata may mend."""

ACK_GRACE_MS = 2_000
"""The broker itself answers within the request's time-out; so much later the stream is given up."""

REROUTES_MAX = 3
"""A lane that is told so often in a row that its partitioning is old, or its batches too large,
though it knows the topic afresh, gives up; told that its topic is gone, the second time."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds, in ms and batches; and the codec, since encoding is part of sending."""

    delivery_timeout_ms: int
    request_timeout_ms: int
    in_flight_max: int
    idempotent: bool
    codec: Codec


class ProducerSession:
    """Decides for all lanes. Every method is one event; `take_actions` gives what to do about it.

    What it guarantees while `idempotent`: a batch is acknowledged once, or fails; batches of a lane
    are appended in order; one that failed without `outcome_unknown` is not in the log. A batch is
    sent again only under the number it has, until it is certain that no attempt was appended.
    """

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self._lanes: dict[PartitionLane, None] = {}
        self._ready: deque[PartitionLane] = deque()
        self._backing_off: dict[PartitionLane, None] = {}
        self._compressing: dict[ProducerBatch, PartitionLane] = {}
        self._awaited: dict[int, ClosedBatch] = {}
        self.actions: list[Action] = []
        self._correlation_id = 0
        self._asks_identity = False
        self._held_topics: dict[TopicLanes, bool] = {}  # being rerouted; True: metadata asked for
        self.identity: Identity | None = None if limits.idempotent else NO_IDENTITY
        self.connected = False
        self.fatal: LogdError | None = None

    @property
    def in_flight(self) -> int:
        """Batches that await an answer."""
        return len(self._awaited)

    @property
    def wants_turn(self) -> bool:
        """Whether there is something to send, or a wait to see to."""
        return bool(self._ready or self._backing_off)

    @property
    def unsettled(self) -> list[ProducerBatch]:
        """Every batch it was given that has no outcome yet."""
        return [batch for lane in self._lanes for batch in lane.batches()]

    def take_actions(self) -> list[Action]:
        """What the events since the last call ask for, in order; until then they are `actions`."""
        actions, self.actions = self.actions, []
        return actions

    # Batches in, entries out

    def enqueue(self, closed: Iterable[ClosedBatch]) -> None:
        """Closed batches from the accumulator, each lane's in order."""
        for lane, batch in closed:
            lane.queue.append(batch)
            self._lanes[lane] = None
            if batch.is_compressing:
                self._compressing[batch] = lane
            if self.fatal is not None:
                self._fail(lane, batch, self.fatal)
            self._make_ready(lane)
        if self.identity is None and self._lanes:
            self._ask_identity(None)

    def compressed(self, batch: ProducerBatch) -> None:
        """It may be sent now."""
        self._make_ready(self._compressing.pop(batch))

    def next_entries(
        self, now_ms: int, bytes_max: int
    ) -> list[tuple[PartitionLane, ProducerBatch, bytes]]:
        """Batches for one message, about `bytes_max` in all, with their encoded bytes.

        Lanes take turns. The batches count as in flight from now on.
        """
        entries, size = list[tuple[PartitionLane, ProducerBatch, bytes]](), 0
        while self.connected and self.identity is not None and self._ready and size < bytes_max:
            lane = self._ready.popleft()
            lane.is_ready = False
            batch = lane.next_batch(self._limits.in_flight_max)
            if batch is None:
                continue
            if entries and size + batch.reserved_bytes > bytes_max:
                lane.is_ready = True
                self._ready.appendleft(lane)
                break
            encoded = self._send(lane, batch, now_ms)
            if encoded is not None:
                entries.append((lane, batch, encoded))
                size += len(encoded)
            if lane.queue or lane.in_flight < len(lane.unresolved):
                self._make_ready(lane)
        return entries

    def _send(self, lane: PartitionLane, batch: ProducerBatch, now_ms: int) -> bytes | None:
        assert self.identity is not None
        lane.start(batch, self.identity)
        try:
            encoded = batch.encoded(self._limits.codec)
        except LogdError as error:
            lane.in_flight -= 1
            self._fail(lane, batch, error)
            self._settle_lane(lane, now_ms)
            return None
        self._correlation_id += 1
        batch.correlation_id, batch.sent_ms = self._correlation_id, now_ms
        self._awaited[batch.correlation_id] = lane, batch
        return encoded

    def _make_ready(self, lane: PartitionLane) -> None:
        if not lane.is_ready and lane.next_batch(self._limits.in_flight_max) is not None:
            lane.is_ready = True
            self._ready.append(lane)

    # The stream

    def stream_opened(self) -> None:
        """A new stream is there: what has no answer goes out again, in order."""
        self.connected = True

    def stream_broken(self, now_ms: int, *, unsent: bool = False) -> None:
        """No answer will come on the old stream: whatever was in flight is in doubt, but where the
        stream never came to be, so that nothing can have left (`unsent`)."""
        self.connected = False
        broken, self._awaited = list(self._awaited.values()), {}
        for lane, batch in broken:
            lane.in_flight = 0
            batch.in_doubt = batch.in_doubt or not unsent
            if batch.outcome is not None:
                self._give_up(lane, batch, batch.outcome)
        for lane in dict.fromkeys(lane for lane, _ in broken):
            self._settle_lane(lane, now_ms)

    def answered(self, correlation_id: int, answer: BatchReceipt | LogdError, now_ms: int) -> None:
        """The broker's word on one entry of the current stream."""
        awaited = self._awaited.pop(correlation_id, None)
        if awaited is None:
            return
        lane, batch = awaited
        lane.in_flight -= 1
        if isinstance(answer, BatchReceipt):
            lane.remove(batch, appended=True)
            if lane.resume_ms:
                lane.backoff.reset()
            lane.reroutes = 0
            if batch.outcome is None:
                self._settle(batch, answer)
        elif batch.outcome is not None:
            self._give_up(lane, batch, batch.outcome)
        else:
            self._refused(awaited, answer, now_ms)
        self._settle_lane(lane, now_ms)

    def _refused(self, refused: ClosedBatch, error: LogdError, now_ms: int) -> None:
        lane, batch = refused
        batch.in_doubt = batch.in_doubt or error.outcome_unknown
        if isinstance(error, ProducerFenced):
            self.fail_all(error)
        elif isinstance(error, OutOfOrderSequence | UnknownProducer):
            self._out_of_order(lane, batch, error)
        elif isinstance(error, MISROUTED):
            self._misrouted(refused, error, now_ms)
        elif isinstance(error, RecordTooLarge) and batch.record_count > 1 and not batch.in_doubt:
            self._misrouted(refused, error, now_ms)  # one by one its records may fit
        elif isinstance(error, CorruptBatch) and batch.tries_corrupt == 0:
            batch.tries_corrupt += 1
            lane.on(LaneEvent.RETRY)
        elif error.retriable:
            lane.resume_ms = now_ms + lane.backoff.next_ms()
            lane.on(LaneEvent.RETRY)
        else:
            self._fail(lane, batch, error)

    def _misrouted(self, refused: ClosedBatch, error: LogdError, now_ms: int) -> None:
        lane, batch = refused
        if lane.state is LaneState.SETTLING_TO_REROUTE:
            return
        if lane.reroutes >= (1 if isinstance(error, TOPIC_GONE) else REROUTES_MAX):
            self._fail(lane, batch, error)
            return
        lane.reroutes += 1
        self._held_topics.setdefault(lane.topic, False)
        for other in lane.topic.lanes:
            other.on(LaneEvent.STALE)
            self._settle_lane(other, now_ms)

    def _out_of_order(self, lane: PartitionLane, batch: ProducerBatch, error: LogdError) -> None:
        if lane.unresolved[0] is not batch or lane.hole is not None:
            lane.on(LaneEvent.RETRY)  # one before it was refused, so this one had to be
            return
        if isinstance(error, UnknownProducer) and batch.base_sequence == 0:
            self.identity = None  # even a first batch is refused: this id is too old to be known
        lane.on(LaneEvent.GAP)

    # Lanes that settle

    def _settle_lane(self, lane: PartitionLane, now_ms: int) -> None:
        """After each event: with nothing in flight, go on to what the lane settles for."""
        flows = lane.state is LaneState.FLOWING
        if lane.in_flight == 0 and not (flows and lane.hole is None):
            self._go_on(lane, now_ms)
            flows = lane.state is LaneState.FLOWING
        if lane.unresolved or lane.queue:
            self._make_ready(lane)
        elif flows:
            self._lanes.pop(lane, None)

    def _go_on(self, lane: PartitionLane, now_ms: int) -> None:
        if not lane.close_hole():
            lane.on(LaneEvent.GAP)
        lane.on(LaneEvent.SETTLED)
        if lane.state is LaneState.BACKING_OFF:
            if lane.resume_ms <= now_ms:
                lane.on(LaneEvent.WAITED)
            else:
                self._backing_off[lane] = None
        elif lane.state is LaneState.IDENTIFYING:
            self._identify(lane)
        elif lane.state is LaneState.REROUTING:
            self._reroute(lane.topic)

    def _identify(self, lane: PartitionLane) -> None:
        """Only a new epoch lets the lane go on. What may have been appended under the old one
        cannot be sent under the new: it fails with its outcome unknown."""
        for batch in [b for b in lane.unresolved if b.in_doubt]:
            self._fail(lane, batch, state_lost(batch, lane.given_up))
        lane.given_up = None
        if self.identity is not None and self.identity != lane.identity:
            self._identified(lane, self.identity)
        else:
            self._ask_identity(self.identity)

    def _ask_identity(self, raised: Identity | None) -> None:
        if not self._asks_identity:
            self._asks_identity = True
            self.actions.append(GetIdentity(raised))

    def identity_given(self, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> None:
        """The answer to GetIdentity."""
        self._asks_identity = False
        self.identity = (producer_id, producer_epoch)
        for lane in list(self._lanes):
            if lane.state is LaneState.IDENTIFYING:
                self._identified(lane, self.identity)
            self._make_ready(lane)

    def identity_failed(self, error: LogdError) -> None:
        """GetIdentity was refused for good: what waits for it fails."""
        self._asks_identity = False
        for lane in list(self._lanes):
            if self.identity is None or lane.state is LaneState.IDENTIFYING:
                for batch in lane.batches():
                    self._fail(lane, batch, error)

    def _identified(self, lane: PartitionLane, identity: Identity) -> None:
        lane.restart(identity)
        lane.on(LaneEvent.IDENTIFIED)
        if lane.topic in self._held_topics:
            lane.on(LaneEvent.STALE)
            lane.on(LaneEvent.SETTLED)
        self._make_ready(lane)

    # Topics that change

    def _reroute(self, topic: TopicLanes) -> None:
        """Once no lane of the topic has anything in flight, its metadata may be exchanged."""
        if not self._held_topics[topic] and not any(lane.in_flight for lane in topic.lanes):
            self._held_topics[topic] = True
            self.actions.append(RefreshTopic(topic))

    def topic_refreshed(
        self, topic: TopicLanes, lost: Iterable[ProducerBatch], now_ms: int
    ) -> None:
        """The topic was rerouted; `lost` are batches in doubt whose partition is gone with its
        topic."""
        self._held_topics.pop(topic, None)
        for lane in [lane for lane in self._lanes if lane.topic is topic]:
            del self._lanes[lane]  # of a topic made anew, the old lanes are gone
        for batch in lost:
            self._settle(batch, with_outcome(topic_lost(batch), unknown=True))
        for lane in topic.lanes:
            if lane.state in (LaneState.REROUTING, LaneState.IDENTIFYING):
                lane.on(LaneEvent.REROUTED)
            self._lanes[lane] = None
            self._settle_lane(lane, now_ms)

    def topic_failed(self, topic: TopicLanes, error: LogdError) -> None:
        """The topic's metadata is refused for good, because it is gone: its batches fail."""
        self._held_topics.pop(topic, None)
        for lane in topic.lanes:
            for batch in lane.batches():
                self._fail(lane, batch, error)
            if lane.state is LaneState.REROUTING:
                lane.on(LaneEvent.REROUTED)
            if lane.state is LaneState.FLOWING:
                self._lanes.pop(lane, None)

    # Time

    def tick(self, now_ms: int) -> None:
        """Time has passed: end waits, expire batches, notice a stream that does not answer."""
        for lane in list(self._lanes):
            for batch in lane.batches():
                if batch.opened_ms + self._limits.delivery_timeout_ms <= now_ms:
                    self._expire(lane, batch)
            self._settle_lane(lane, now_ms)
        late_ms = now_ms - self._limits.request_timeout_ms - ACK_GRACE_MS
        late = next((b for _, b in self._awaited.values() if b.sent_ms <= late_ms), None)
        if self.connected and late is not None:
            self.actions.append(BreakStream(f"no answer came for {now_ms - late.sent_ms} ms"))

    def next_resume_ms(self) -> int | None:
        """When the next lane's wait is over, on the clock of `now_ms`; None: none waits."""
        if not self._backing_off:
            return None
        waiting = [lane for lane in self._backing_off if lane.state is LaneState.BACKING_OFF]
        self._backing_off = dict.fromkeys(waiting)
        return min((lane.resume_ms for lane in waiting), default=None)

    def _expire(self, lane: PartitionLane, batch: ProducerBatch) -> None:
        if batch.outcome is not None:
            return
        awaited = batch.correlation_id in self._awaited
        batch.in_doubt = batch.in_doubt or awaited
        error = expired(batch, self._limits.delivery_timeout_ms)
        if awaited:
            self._settle(batch, with_outcome(error, unknown=True))
        else:
            self._fail(lane, batch, error)

    # Outcomes

    def fail_all(self, error: LogdError) -> None:
        """Fatal: nothing more is sent, and every batch, now or later, fails with `error`."""
        self.fatal = error
        awaited, self._awaited = self._awaited, {}
        for lane, batch in awaited.values():
            batch.in_doubt = True
            lane.in_flight = 0
        for lane in self._lanes:
            for batch in lane.batches():
                if batch.outcome is None:
                    self._settle(batch, with_outcome(error, unknown=batch.in_doubt))
            lane.queue.clear()
            lane.unresolved.clear()
        self._lanes.clear()
        self._ready.clear()

    def _fail(self, lane: PartitionLane, batch: ProducerBatch, error: LogdError) -> None:
        """Give up a batch that is not in flight, and say why."""
        self._give_up(lane, batch, error)
        self._settle(batch, with_outcome(error, unknown=batch.in_doubt))

    def _give_up(self, lane: PartitionLane, batch: ProducerBatch, why: object) -> None:
        """Send it no more. Those behind it take over its number; if it, or one of them, may have
        been appended, that is not safe, and they need a new epoch."""
        lane.remove(batch, appended=False)
        if batch.in_doubt and self._limits.idempotent:
            if isinstance(why, DeliveryTimeout):
                lane.given_up = why
            lane.on(LaneEvent.GAP)
        elif lane.hole is not None:
            lane.on(LaneEvent.RETRY)

    def _settle(self, batch: ProducerBatch, outcome: BatchReceipt | LogdError) -> None:
        self.actions += map(Settled, batch.settle(outcome))
