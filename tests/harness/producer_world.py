"""A producer's core, a broker and the network between them, moved by hand."""

from collections.abc import Callable

from harness.fake_broker import FakeBroker, refusal
from harness.manual_clock import ManualClock
from logd.model.batch_codecs import compress
from logd.model.batch_decoder import decode_batch
from logd.model.errors import (
    LogdError,
    RecordTooLarge,
)
from logd.model.ids import ProducerEpoch, ProducerId
from logd.model.key_ranges import KeyRouter
from logd.model.record_batch import Codec
from logd.sim.seeded_random import SeededRandom
from logd.wire.produce_request import ProduceEntry, write_produce_request
from logd_client.core.accumulator import Accumulator, AccumulatorLimits
from logd_client.core.backoff import Backoff
from logd_client.core.open_batch import BATCH_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES
from logd_client.core.partition_lane import ClosedBatch, PartitionLane
from logd_client.core.producer_actions import BreakStream, GetIdentity, RefreshTopic, Settled
from logd_client.core.producer_batch import BatchReceipt, ProducerBatch
from logd_client.core.producer_session import ProducerSession, SessionLimits
from logd_client.core.rerouting import reroute
from logd_client.core.topic_lanes import Routing, TopicLanes
from logd_client.produce_response import unpack_produce_response
from logd_proto.v1 import data_pb2

TOPIC = "orders"
KEYS = [b"a", b"b", b"c", b"d", b"e"]
DELIVERY_TIMEOUT_MS = 5_000
TAKEN_MOST_BYTES = 1 << 20
TAKEN_LEAST_BYTES = BATCH_OVERHEAD_BYTES + 60
"""Three records."""

Entry = data_pb2.ProduceEntry
Ack = data_pb2.ProduceAck


class ProducerWorld:
    """A producer's core, a broker, and the network between them, moved by hand.

    `requests` are on the way to the broker, `answers` back. When the connection is cut, the
    requests become `ghosts`: the broker may still take them, in order, but nobody hears of it.
    With a codec every batch is compressed apart, for as long as it stands in `compressing`.
    """

    def __init__(
        self, delivery_timeout_ms: int = DELIVERY_TIMEOUT_MS, codec: Codec = Codec.NONE
    ) -> None:
        self.delivery_timeout_ms = delivery_timeout_ms
        self.codec = codec
        self.taken_bytes = TAKEN_MOST_BYTES
        self.compressing: list[tuple[ProducerBatch, bytes]] = []
        self.clock = ManualClock()
        self.broker = FakeBroker()
        self.broker.create_topic(TOPIC, 2)
        self.requests: list[Entry] = []
        self.answers: list[Ack] = []
        self.taken_by_stream = False
        self.ghosts: list[Entry] = []
        self.asked: list[GetIdentity | RefreshTopic] = []
        self.settled: list[ProducerBatch] = []
        self.sent: list[tuple[bytes | None, ProducerBatch, int]] = []
        limits = AccumulatorLimits(200, 1 << 20, 5, 8)
        self.accumulator = Accumulator(limits, self.clock, object, lambda ms: None)
        self.session = ProducerSession(SessionLimits(delivery_timeout_ms, 1_000, 8, True, codec))
        self.session.stream_opened()
        self.topic = TopicLanes(TOPIC, self.routing(), self.accumulator, self._lane)

    def _lane(self, topic: TopicLanes, partition: int) -> PartitionLane:
        return PartitionLane(topic, partition, Backoff(10, 100, SeededRandom()))

    def routing(self) -> Routing:
        topic = self.broker.topics[TOPIC]
        count = len(topic.partitions)
        router = KeyRouter(topic.ranges)
        return Routing(
            topic.topic_id, router, range(count), count, topic.partitioning_epoch, self.taken_bytes
        )

    @property
    def now_ms(self) -> int:
        return self.clock.monotonic_ms()

    def add(self, key: bytes | None = None, partition: int | None = None) -> None:
        added = self.topic.add(b"%d" % len(self.sent), key, partition)
        assert added is not None
        self.sent.append((key, added.batch, len(added.values) - 1))

    def add_many(self) -> None:
        for key in KEYS * 3:
            self.add(key)

    def enqueue(self, closed: list[ClosedBatch]) -> None:
        bodies = [(batch, batch.begin_compressing(self.codec)) for _, batch in closed]
        self.compressing += [(batch, body) for batch, body in bodies if body is not None]
        self.session.enqueue(closed)

    def compressed(self, *, failed: bool = False) -> None:
        """The oldest batch that is compressed apart comes back."""
        if self.compressing:
            batch, body = self.compressing.pop(0)
            batch.end_compressing(None if failed else compress(body, self.codec), self.codec)
            self.session.compressed(batch)

    def send(self, *, everything: bool = False) -> None:
        drain = self.accumulator.drain
        self.enqueue(self.accumulator.drain_all() if everything else drain(self.now_ms))
        while entries := self.session.next_entries(self.now_ms, 500):
            outgoing = [
                ProduceEntry(
                    batch.correlation_id,
                    lane.topic.routing.topic_id,
                    lane.partition,
                    lane.topic.routing.partitioning_epoch,
                    data_pb2.ACKS_ALL,
                    1_000,
                    encoded,
                )
                for lane, batch, encoded in entries
            ]
            message = write_produce_request(outgoing)
            parsed = data_pb2.ProduceStreamRequest.FromString(message)
            assert parsed.SerializeToString(deterministic=True) == message
            self.requests += parsed.entries
        self.act()

    def deliver(self, fault: Callable[[], LogdError] | None = None) -> None:
        """One request reaches the broker, which answers."""
        if not self.requests:
            return
        entry = self.requests.pop(0)
        self.taken_by_stream = True
        if fault is None and self.too_large(entry):
            fault = lambda: RecordTooLarge("too large", limit=self.taken_bytes)  # noqa: E731
        if fault is None:
            self.answers.append(self.broker.append(entry))
            return
        error = fault()
        if error.outcome_unknown:
            ack = self.broker.append(entry)
            if ack.HasField("error"):
                self.answers.append(ack)
                return
        self.answers.append(refusal(entry.correlation_id, error))

    def acknowledge(self, at: int = 0) -> None:
        """One answer arrives, not always the oldest."""
        if self.answers:
            ack = self.answers.pop(at % len(self.answers))
            message = data_pb2.ProduceStreamResponse(acks=[ack]).SerializeToString()
            [(correlation_id, answer)], _ = unpack_produce_response(message)
            self.session.answered(correlation_id, answer, self.now_ms)
            self.act()

    def take(self, message_bytes_max: int) -> None:
        """From now on batches up to this."""
        self.taken_bytes = message_bytes_max

    def too_large(self, entry: Entry) -> bool:
        """As the producer reckons, which is more than the batch has."""
        batch = decode_batch(entry.batch)
        keys = batch.keys or [None] * len(batch)
        sizes = [len(v or b"") + len(k or b"") for v, k in zip(batch.values, keys, strict=True)]
        records_bytes = sum(sizes) + RECORD_OVERHEAD_BYTES * len(sizes)
        return BATCH_OVERHEAD_BYTES + records_bytes > self.taken_bytes

    def deliver_all(self) -> None:
        while self.requests:
            self.deliver()

    def acknowledge_all(self) -> None:
        while self.answers:
            self.acknowledge()

    def cut(self) -> None:
        self.ghosts += self.requests
        self.requests, self.answers = [], []
        self.taken_by_stream = False
        self.session.stream_broken(self.now_ms)
        self.act()
        self.session.stream_opened()

    def miss(self) -> None:
        """The stream turns out never to have come to be: nothing of it has left."""
        if self.taken_by_stream:
            self.cut()
            return
        self.requests = []
        self.session.stream_broken(self.now_ms, unsent=True)
        self.act()
        self.session.stream_opened()

    def haunt(self) -> None:
        if self.ghosts:
            self.broker.append(self.ghosts.pop(0))

    def wait(self, ms: int) -> None:
        self.clock.advance(ms)
        self.session.enqueue(self.accumulator.drain(self.now_ms))
        self.session.enqueue(self.accumulator.overdue(self.now_ms - self.delivery_timeout_ms))
        self.session.tick(self.now_ms)
        self.act()

    def reply(self) -> None:
        """One question of the session is answered."""
        if not self.asked:
            return
        match self.asked.pop(0):
            case GetIdentity(raised):
                request = data_pb2.InitProducerRequest()
                if raised is not None:
                    request.producer_id, request.producer_epoch = raised
                given = self.broker.init_producer(request)
                self.session.identity_given(
                    ProducerId(given.producer_id), ProducerEpoch(given.producer_epoch)
                )
            case RefreshTopic(topic):
                self.session.enqueue(self.accumulator.drain(self.now_ms))
                lost = reroute(topic, self.routing(), self.accumulator)
                self.session.topic_refreshed(topic, lost, self.now_ms)
        self.act()

    def act(self) -> None:
        for action in self.session.take_actions():
            match action:
                case Settled(batch):
                    assert batch not in self.settled, "completed once"
                    self.settled.append(batch)
                    self.accumulator.release([batch])
                case BreakStream():
                    self.cut()
                case _:
                    self.asked.append(action)

    def finish(self) -> None:
        """Everything works again: all must be settled in little time."""
        for _ in range(40):
            self.send(everything=True)
            while self.compressing:
                self.compressed()
            self.deliver_all()
            self.acknowledge_all()
            while self.asked:
                self.reply()
            self.wait(50)
        assert not self.session.unsettled and self.session.in_flight == 0
        assert self.accumulator.buffered_bytes == 0

    def check(self) -> tuple[int, int]:
        """Each record's outcome against the log. How many succeeded, and how many are unknown."""
        where: dict[bytes | None, list[tuple[int, int]]] = {}
        for number, partition in enumerate(self.broker.topics[TOPIC].partitions):
            for offset, (_, value, _, _) in enumerate(partition.records):
                where.setdefault(value, []).append((number, offset))
        succeeded = unknown = 0
        for at, (_, batch, index) in enumerate(self.sent):
            final, index, outcome = batch.outcome_of(index)
            found = where.get(b"%d" % at, [])
            assert len(found) <= 1, f"record {at} is there {len(found)} times"
            if isinstance(outcome, BatchReceipt):
                succeeded += 1
                if outcome.base_offset is None:
                    assert len(found) == 1
                else:
                    assert found == [(final.partition, outcome.base_offset + index)]
            else:
                assert isinstance(outcome, LogdError), f"record {at} has no outcome"
                unknown += outcome.outcome_unknown
                assert outcome.outcome_unknown or not found, f"record {at} failed, but is there"
        self._check_order()
        return succeeded, unknown

    def _check_order(self) -> None:
        for partition in self.broker.topics[TOPIC].partitions:
            last: dict[bytes | None, int] = {}
            for key, value, _, _ in partition.records:
                number = int(value or b"")
                if key is not None:
                    assert number > last.get(key, -1), f"records of key {key!r} changed places"
                    last[key] = number
