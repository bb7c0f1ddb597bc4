"""Kafka through confluent-kafka (librdkafka), with what was found fastest for it.

`fetch.queue.backoff.ms` is 1 s by default, and stalls every fast consumer. A larger producer queue
costs page faults, a smaller batch halves the throughput. With `delivery.report.only.error` and one
callback for all, what fails is still told, without a call a record.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pacing import age, schedule, sleep_until, stamp

Options = dict[str, Any]
WAIT_S = 30
CHUNK_RECORDS = 1_000
PRODUCER = {
    "linger.ms": 20,
    "batch.size": 1 << 20,
    "batch.num.messages": 1_000_000,
    "message.max.bytes": 8 << 20,
    "queue.buffering.max.messages": 2_000_000,
    "queue.buffering.max.kbytes": 64 << 10,
    "socket.send.buffer.bytes": 4 << 20,
    "socket.nagle.disable": True,
    "delivery.report.only.error": True,
}
CONSUMER = {
    "group.id": "bench",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 5,
    "fetch.max.bytes": 64 << 20,
    "max.partition.fetch.bytes": 8 << 20,
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 1 << 20,
    "socket.receive.buffer.bytes": 4 << 20,
}


def version(address: str) -> str:
    """The client's: a broker does not tell its own. Fails where none answers."""
    _admin(address).list_topics(timeout=10)
    library = confluent_kafka.libversion()[0]
    return f"confluent-kafka {confluent_kafka.__version__}, librdkafka {library}"


def create(address: str, topic: str, partitions: int = 1, copies: int = 1) -> None:
    admin = _admin(address)
    admin.create_topics([NewTopic(topic, partitions, copies)])[topic].result(WAIT_S)


def delete(address: str, topic: str) -> None:
    admin = _admin(address)
    admin.delete_topics([topic])[topic].result(WAIT_S)


def produce(
    address: str,
    topic: str,
    values: Sequence[bytes],
    opts: Options,
    timer: AbstractContextManager[Any],
) -> None:
    """A call a record. With fsync the broker flushes at each message."""
    if opts["durability"] == "fsync":
        _flush_each_message(address, topic)
    with _producer(address, opts, PRODUCER) as producer:
        producer.produce(topic, values[0])
        producer.flush(WAIT_S)
        send, poll, every = producer.produce, producer.poll, iter(values)
        with timer:
            while chunk := list(islice(every, CHUNK_RECORDS)):
                for value in chunk:
                    while True:
                        try:
                            send(topic, value)
                            break
                        except BufferError:
                            poll(0.01)
                poll(0)
            producer.flush(WAIT_S)


def consume(
    address: str, topic: str, count: int, opts: Options, timer: AbstractContextManager[Any]
) -> int:
    consumer = Consumer({**_address(address), **CONSUMER})
    consumer.list_topics(topic, WAIT_S)
    size = seen = 0
    with timer:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while seen < count:
            messages = consumer.consume(10_000, 0.2)
            for message in messages:
                size += len(message.value())
            seen += len(messages)
    consumer.close()
    return size


def latency(address: str, topic: str, values: Sequence[bytes], opts: Options) -> list[float]:
    took = []
    acknowledged: list[float] = []

    def on_delivery(error: Any, _: Any) -> None:
        if error:
            raise RuntimeError(error)
        acknowledged.append(time.perf_counter())

    prompt = {**PRODUCER, "linger.ms": 0, "delivery.report.only.error": False}
    with _producer(address, opts, prompt) as producer:
        for value in values:
            acknowledged.clear()
            begin = time.perf_counter()
            producer.produce(topic, value, on_delivery=on_delivery)
            while not acknowledged:
                producer.poll(1)
            took.append(acknowledged[0] - begin)
    return took


def send_at(address: str, topic: str, rate: int, count: int, size: int, opts: Options) -> None:
    with _producer(address, opts, {**PRODUCER, "linger.ms": 0}) as producer:
        producer.list_topics(topic, WAIT_S)
        for due in schedule(rate, count):
            sleep_until(due)
            producer.produce(topic, stamp(size))
            producer.poll(0)


def receive(
    address: str, topic: str, count: int, ready: Callable[[], None], opts: Options
) -> list[float]:
    consumer = Consumer({**_address(address), **CONSUMER, "fetch.wait.max.ms": 500})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    consumer.poll(0.5)
    ready()
    ages: list[float] = []
    while len(ages) < count:
        message = consumer.poll(1)
        if message is not None and not message.error():
            ages.append(age(message.value()))
    consumer.close()
    return ages


def _address(address: str) -> Options:
    return {"bootstrap.servers": address, "log_level": 2}


def _admin(address: str) -> AdminClient:
    """Who asks keeps it until the answer is there."""
    return AdminClient(_address(address))


@contextmanager
def _producer(address: str, opts: Options, settings: Options) -> Iterator[Producer]:
    """Raises RuntimeError at its end where a record was not acknowledged."""
    errors: list[Any] = []
    acks = "all" if opts["acks"] == "all" else "1"

    def on_delivery(error: Any, _: Any) -> None:
        if error:
            errors.append(error)

    told = {"on_delivery": on_delivery, "acks": acks}
    producer = Producer({**_address(address), **settings, **told})
    yield producer
    left = producer.flush(WAIT_S)
    if errors or left:
        raise RuntimeError(f"{len(errors)} failed, {left} without an answer: {errors[:1]}")


def _flush_each_message(address: str, topic: str) -> None:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    entry = ConfigEntry("flush.messages", "1", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = _admin(address)
    admin.incremental_alter_configs([resource])[resource].result(WAIT_S)
