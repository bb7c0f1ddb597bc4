"""A broker in memory, for tests of clients: topics, and produce with the rules of idempotence.

It keeps to docs/batch.md and docs/guarantees.md: 16 batches remembered per producer and partition,
sequences that count round, epochs, unknown producers, partitioning epochs.
"""

from collections import deque
from dataclasses import dataclass, field

from logd.model.batch_decoder import decode_batch
from logd.model.errors import (
    InconsistentTopicId,
    LogdError,
    OutOfOrderSequence,
    ProducerFenced,
    RecordTooLarge,
    StalePartitioning,
    UnknownProducer,
    UnknownTopic,
)
from logd.model.key_ranges import KeyRange, even_ranges, halve_widest
from logd.model.record_batch import check_produced
from logd_proto.v1 import data_pb2, topics_pb2

WINDOW = 16
SEQUENCES = 1 << 31
NOW_MS = 1_700_000_000_000


@dataclass
class FakeProducerState:
    epoch: int
    next_sequence: int = 0
    window: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=WINDOW))
    """(base_sequence, record_count, base_offset)"""


@dataclass
class FakePartition:
    """`records[offset]` is (key, value, timestamp_ms, headers)."""

    records: list[tuple[bytes | None, bytes | None, int, object]] = field(default_factory=list)
    producers: dict[int, FakeProducerState] = field(default_factory=dict)
    known_from_id: int = 0
    """Older producer ids are refused: the state of some of them was lost."""


@dataclass
class FakeTopic:
    name: str
    topic_id: bytes
    ranges: list[KeyRange]
    partitions: list[FakePartition]
    config: dict[str, str]
    partitioning_epoch: int = 0


class FakeBroker:
    """One broker. `append` answers an entry as the stream's handler would."""

    def __init__(self) -> None:
        self.topics: dict[str, FakeTopic] = {}
        self._created = 0
        self._next_producer_id = 1000

    def create_topic(self, name: str, partitions: int = 1, **config: str) -> FakeTopic:
        self._created += 1
        topic_id = self._created.to_bytes(16, "big")
        topic = FakeTopic(
            name,
            topic_id,
            even_ranges(partitions),
            [FakePartition() for _ in range(partitions)],
            {"message_bytes_max": str(8 << 20), **config},
        )
        self.topics[name] = topic
        return topic

    def add_partitions(self, name: str, total: int) -> None:
        topic = self.topics[name]
        topic.ranges = list(halve_widest(topic.ranges, total).ranges)
        topic.partitions += [FakePartition() for _ in range(total - len(topic.partitions))]
        topic.partitioning_epoch += 1

    def forget_producers(self, name: str, *, accepts_old_ids: bool = False) -> None:
        """As if their state had expired or, by default, as if recovery had lost it: then none of
        the ids given so far is accepted again."""
        for partition in self.topics[name].partitions:
            partition.producers.clear()
            if not accepts_old_ids:
                partition.known_from_id = self._next_producer_id + 1

    def values(self, name: str, partition: int) -> list[bytes | None]:
        return [value for _, value, _, _ in self.topics[name].partitions[partition].records]

    def describe_topic(self, name: str) -> topics_pb2.Topic:
        topic = self.topics.get(name)
        if topic is None:
            raise UnknownTopic(f"no topic '{name}'", topic=name)
        return topics_pb2.Topic(
            name=name,
            topic_id=topic.topic_id,
            partitions=[
                topics_pb2.Partition(partition=i, hash_lo=r.hash_lo, hash_hi=r.hash_hi)
                for i, r in enumerate(topic.ranges)
            ],
            config=topic.config,
            partitioning_epoch=topic.partitioning_epoch,
        )

    def init_producer(self, request: data_pb2.InitProducerRequest) -> data_pb2.InitProducerResponse:
        if request.HasField("producer_id"):
            return data_pb2.InitProducerResponse(
                producer_id=request.producer_id, producer_epoch=request.producer_epoch + 1
            )
        self._next_producer_id += 1
        return data_pb2.InitProducerResponse(producer_id=self._next_producer_id)

    def append(self, entry: data_pb2.ProduceEntry) -> data_pb2.ProduceAck:
        """Append the entry's batch, or say why not."""
        try:
            return self._append(entry)
        except LogdError as error:
            return refusal(entry.correlation_id, error)

    def _append(self, entry: data_pb2.ProduceEntry) -> data_pb2.ProduceAck:
        topic = next((t for t in self.topics.values() if t.topic_id == entry.topic_id), None)
        if topic is None:
            raise InconsistentTopicId("no topic has this id")
        limit = int(topic.config["message_bytes_max"])
        if len(entry.batch) > limit:
            raise RecordTooLarge(f"{len(entry.batch)} bytes, at most {limit}")
        header = check_produced(entry.batch, message_bytes_max=limit, now_ms=NOW_MS * 2)
        partition = topic.partitions[entry.partition]
        if entry.partitioning_epoch < topic.partitioning_epoch:
            raise StalePartitioning("the partitions changed")
        known = self._check_sequence(partition, header.producer_id, header)
        if known is not None:
            return self._ack(entry, known if known >= 0 else None, duplicate=True)
        base_offset = len(partition.records)
        decoded = decode_batch(entry.batch)
        count = len(decoded)
        keys, headers = decoded.keys or [None] * count, decoded.headers or [[]] * count
        partition.records += zip(keys, decoded.values, decoded.timestamps_ms, headers, strict=True)
        if header.producer_id >= 0:
            state = partition.producers[header.producer_id]
            state.window.append((header.base_sequence, count, base_offset))
            state.next_sequence = (header.base_sequence + count) % SEQUENCES
        return self._ack(entry, base_offset, duplicate=False)

    def _check_sequence(self, partition: FakePartition, producer_id: int, header) -> int | None:  # type: ignore[no-untyped-def]
        """None: append. Else the offset a duplicate had, -1 if it is too old to be known."""
        if producer_id < 0:
            return None
        state, epoch = partition.producers.get(producer_id), header.producer_epoch
        if state is not None and epoch < state.epoch:
            raise ProducerFenced("an older epoch", current_epoch=state.epoch)
        if state is None and producer_id < partition.known_from_id:
            raise UnknownProducer("the state of this id was lost")
        if state is None or epoch > state.epoch:
            if header.base_sequence != 0:
                if state is None:
                    raise UnknownProducer("no state, and the sequence is not 0")
                raise OutOfOrderSequence("a new epoch starts at 0", expected=0)
            partition.producers[producer_id] = FakeProducerState(epoch)
            return None
        if header.base_sequence == state.next_sequence:
            return None
        for base_sequence, count, base_offset in state.window:
            if (base_sequence, count) == (header.base_sequence, header.record_count):
                return base_offset
        behind = (state.next_sequence - header.base_sequence) % SEQUENCES
        if behind < SEQUENCES // 2:
            return -1
        raise OutOfOrderSequence(
            f"expected {state.next_sequence}, not {header.base_sequence}",
            expected=state.next_sequence,
        )

    def _ack(
        self, entry: data_pb2.ProduceEntry, base_offset: int | None, *, duplicate: bool
    ) -> data_pb2.ProduceAck:
        return data_pb2.ProduceAck(
            correlation_id=entry.correlation_id,
            base_offset=base_offset,
            leader_epoch=1,
            append_timestamp_ms=NOW_MS,
            duplicate=duplicate,
            replicas=1,
            replicas_synced=1,
        )


def refusal(correlation_id: int, error: LogdError) -> data_pb2.ProduceAck:
    """The acknowledgement that carries an error."""
    ack = data_pb2.ProduceAck(correlation_id=correlation_id)
    ack.error.reason = error.reason
    ack.error.message = error.message
    ack.error.details.update(error.details)
    return ack
