"""Keys and values of the metadata store, version 1. Values are JSON.

    cluster                 {"cluster_id": hex, "schema_version": 1, "created_ms": N}
    broker-epochs/<id>      {"epoch": N}, raised at every start of that broker
    producer-ids            {"next_producer_id": N, "secret": hex}: numbers of ids that are below N
                            are given out or given up (`producer_id_blocks`)
    producer-epochs/<id>    {"producer_id": N, "epoch": N}: the highest given out, from 1
    topics/<hex id>         a topic, see TopicValue
    topic-names/<folded>    {"topic_id": hex}; the name case-folded, so that no two names differ
                            only in case; stands as long as the topic's own key

A topic's partitions stand together in its one key, which at 10,000 of them must stay below the
1.5 MiB of a transaction: what is the same for all stands once, what is as it was at creation not at
all. New fields with defaults do not raise the version: readers pass over fields they do not know.
"""

from typing import TypeVar

import msgspec

from logd.model.errors import InvalidConfig, StoredDataCorrupt, UnsupportedVersion
from logd.model.ids import TOPIC_ID_BYTES, BrokerId, Offset, PartitionId, ProducerId, TopicId
from logd.model.key_ranges import KeyRange, even_ranges
from logd.model.seams import KeyValue
from logd.model.topic import PartitionSpec, Topic, TopicState
from logd.model.topic_config import read_topic_config

SCHEMA_VERSION = 1
CLUSTER_KEY = "cluster"
PRODUCER_IDS_KEY = "producer-ids"
PRODUCER_EPOCHS_PREFIX = "producer-epochs/"
TOPICS_PREFIX = "topics/"

V = TypeVar("V", bound=msgspec.Struct)


class ClusterValue(msgspec.Struct, frozen=True):
    cluster_id: str
    created_ms: int
    schema_version: int = SCHEMA_VERSION


class BrokerEpochValue(msgspec.Struct, frozen=True):
    epoch: int


class ProducerIdsValue(msgspec.Struct, frozen=True):
    """Before there was a secret, `next_number` was the next id itself."""

    next_number: int = msgspec.field(name="next_producer_id", default=1)
    secret: str = ""


class ProducerEpochValue(msgspec.Struct, frozen=True):
    producer_id: int
    epoch: int


class TopicNameValue(msgspec.Struct, frozen=True):
    topic_id: str


class TopicValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """A topic. All settings are written, so that a later default changes no topic.

    `ranges` is absent while partitions divide the hashes evenly, else [lo, hi, lo, hi, ...];
    `parents` holds partitions that were split off others, `split_at` from which offset of these on;
    `replicas` one list if it is the same for all partitions, else one a partition.
    """

    name: str
    state: TopicState
    partitions: int
    config: dict[str, str]
    replicas: list[list[int]]
    created_ms: int
    partitioning_epoch: int = 0
    internal: bool = False
    ranges: list[int] = []
    sealed: list[int] = []
    parents: dict[int, list[int]] = {}
    split_at: dict[int, int] = {}


def topic_key(topic_id: TopicId) -> str:
    return f"{TOPICS_PREFIX}{topic_id.hex()}"


def topic_name_key(name: str) -> str:
    return f"topic-names/{name.casefold()}"


def broker_epoch_key(broker_id: BrokerId) -> str:
    return f"broker-epochs/{broker_id}"


def producer_epoch_key(producer_id: ProducerId) -> str:
    return f"{PRODUCER_EPOCHS_PREFIX}{producer_id}"


def encode_value(value: msgspec.Struct) -> bytes:
    return msgspec.json.encode(value)


def decode_value(entry: KeyValue, value_type: type[V]) -> V:
    """Raises StoredDataCorrupt, naming the key."""
    try:
        return msgspec.json.decode(entry.value, type=value_type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _corrupt(entry.key, error) from error


def encode_topic(topic: Topic) -> bytes:
    """The value of the topic's key; its id and revision are not in it."""
    ranges = [spec.key_range for spec in topic.partitions]
    is_even = ranges == even_ranges(len(ranges))
    replicas = [list(spec.replicas) for spec in topic.partitions]
    if all(held == replicas[0] for held in replicas):
        del replicas[1:]
    value = TopicValue(
        name=topic.name,
        state=topic.state,
        partitions=len(topic.partitions),
        config=topic.config.as_strings(),
        replicas=[[int(broker) for broker in held] for held in replicas],
        created_ms=topic.created_ms,
        partitioning_epoch=topic.partitioning_epoch,
        internal=topic.internal,
        ranges=[] if is_even else [bound for key_range in ranges for bound in key_range],
        sealed=[number for number, spec in enumerate(topic.partitions) if spec.sealed],
        parents={
            number: [int(parent) for parent in spec.parents]
            for number, spec in enumerate(topic.partitions)
            if spec.parents
        },
        split_at={
            number: spec.split_at
            for number, spec in enumerate(topic.partitions)
            if spec.split_at is not None
        },
    )
    return encode_value(value)


def decode_topic(entry: KeyValue) -> Topic:
    """Raises StoredDataCorrupt, and UnsupportedVersion for settings of a newer logd."""
    value = decode_value(entry, TopicValue)
    try:
        topic_id = TopicId(bytes.fromhex(entry.key.removeprefix(TOPICS_PREFIX)))
        partitions = _decode_partitions(value)
        if len(topic_id) != TOPIC_ID_BYTES or not partitions:
            raise ValueError("no topic id, or no partition")
    except (ValueError, IndexError) as error:
        raise _corrupt(entry.key, error) from error
    try:
        config = read_topic_config(value.config)
    except InvalidConfig as error:
        raise UnsupportedVersion(
            f"topic '{value.name}' was written by another version of logd: {error}",
            topic=value.name,
            **error.details,
        ) from error
    return Topic(
        topic_id=topic_id,
        name=value.name,
        partitions=partitions,
        config=config,
        state=value.state,
        partitioning_epoch=value.partitioning_epoch,
        internal=value.internal,
        created_ms=value.created_ms,
        revision=entry.revision,
    )


def _decode_partitions(value: TopicValue) -> tuple[PartitionSpec, ...]:
    count = value.partitions
    bounds = value.ranges
    ranges = [KeyRange(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=True)]
    replicas = [tuple(BrokerId(broker) for broker in held) for held in value.replicas]
    if len(replicas) == 1:
        replicas *= count
    sealed = frozenset(value.sealed)
    return tuple(
        PartitionSpec(
            key_range=key_range,
            sealed=number in sealed,
            parents=tuple(PartitionId(parent) for parent in value.parents.get(number, ())),
            replicas=held,
            split_at=Offset(value.split_at[number]) if number in value.split_at else None,
        )
        for number, key_range, held in zip(
            range(count), ranges or even_ranges(count), replicas, strict=True
        )
    )


def _corrupt(key: str, error: Exception) -> StoredDataCorrupt:
    return StoredDataCorrupt(
        f"metadata key '{key}' holds no value that logd wrote: {error}. "
        "Restore the metadata from a backup, or make it again: logctl segments rebuild-metadata",
        key=key,
    )
