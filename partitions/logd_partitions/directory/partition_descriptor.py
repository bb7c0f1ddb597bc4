"""What a partition's directory says of itself: `partition.json`.

It ties the directory to a topic's identity, and holds what is needed to make the topic's metadata
again if the metadata store is lost. A checked JSON object:

    version              1
    topic_id, topic      32 hex digits; the name
    partition            the number of this one
    internal, created_ms, partitioning_epoch, revision
    config               the topic's settings as strings
    partition_count
    first_count          how many the topic was created with
    replicas             of every partition
    partitions           only where some partition is not what creating `first_count` and adding
                         the rest by halving gives: of each
                         [hash_lo, hash_hi, sealed, parents, replicas]
    split_at             of partitions that were added: {"number": offset of the parent}

So a file stays small in a topic of 10,000 partitions. It is written once, before the first append,
and anew when the log is opened after the topic has changed (a higher `revision`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from logd.model.errors import InvalidConfig, StoredDataCorrupt, UnsupportedVersion
from logd.model.ids import TOPIC_ID_BYTES, BrokerId, Offset, PartitionId, TopicId, TopicPartition
from logd.model.key_ranges import KeyRange, even_ranges, halve_widest
from logd.model.topic import PARTITIONS_PER_TOPIC_MAX, PartitionSpec, Topic
from logd.model.topic_config import read_topic_config
from logd_partitions.core.checked_json import decode_checked, encode_checked

FILE_NAME = "partition.json"
VERSION = 1

TopicMembers = Mapping[str, object]
"""The members that are the same for all partitions of a topic: made once, since halving the ranges
of 10,000 partitions takes milliseconds."""


@dataclass(frozen=True, slots=True)
class PartitionDescriptor:
    """A partition's identity; `topic` gives the rest."""

    topic_partition: TopicPartition
    topic_name: str
    revision: int
    path: str
    members: Mapping[str, object]

    def topic(self) -> Topic:
        """The topic as metadata had it when this was written. Raises StoredDataCorrupt."""
        try:
            return _topic(self.members, self.topic_partition.topic_id, self.topic_name)
        except (KeyError, TypeError, ValueError, InvalidConfig) as error:
            raise _misstated(self.path, error) from None


def topic_members(topic: Topic) -> TopicMembers:
    """What every partition's file says of the topic."""
    first_count = sum(not spec.parents for spec in topic.partitions)
    replicas = topic.partitions[0].replicas
    members: dict[str, object] = {
        "version": VERSION,
        "topic_id": topic.topic_id.hex(),
        "topic": topic.name,
        "internal": topic.internal,
        "created_ms": topic.created_ms,
        "partitioning_epoch": topic.partitioning_epoch,
        "revision": topic.revision,
        "config": topic.config.as_strings(),
        "partition_count": len(topic.partitions),
        "first_count": first_count,
        "replicas": replicas,
    }
    split_at = {
        str(number): spec.split_at
        for number, spec in enumerate(topic.partitions)
        if spec.split_at is not None
    }
    if split_at:
        members["split_at"] = split_at
    alike = tuple(replace(spec, split_at=None) for spec in topic.partitions)
    if alike != _by_halving(first_count, len(topic.partitions), replicas):
        members["partitions"] = [
            [*spec.key_range, spec.sealed, spec.parents, spec.replicas] for spec in topic.partitions
        ]
    return members


def encode_descriptor(members: TopicMembers, partition: PartitionId) -> bytes:
    """The file's bytes."""
    return encode_checked({**members, "partition": partition})


def decode_descriptor(data: bytes, path: str) -> PartitionDescriptor:
    """Raises StoredDataCorrupt, UnsupportedVersion."""
    members = decode_checked(data, path)
    try:
        if _integer(members, "version") > VERSION:
            raise UnsupportedVersion(
                f"{path} has version {members['version']}, this program knows {VERSION}: "
                "use a newer logd",
                field="version",
            )
        topic_id = TopicId(bytes.fromhex(_text(members, "topic_id")))
        if len(topic_id) != TOPIC_ID_BYTES:
            raise ValueError("topic_id")
        partition = PartitionId(_integer(members, "partition"))
        return PartitionDescriptor(
            TopicPartition(topic_id, partition),
            _text(members, "topic"),
            _integer(members, "revision"),
            path,
            members,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _misstated(path, error) from None


def _topic(members: Mapping[str, object], topic_id: TopicId, name: str) -> Topic:
    config = members["config"]
    if not isinstance(config, dict):
        raise TypeError("config")
    return Topic(
        topic_id=topic_id,
        name=name,
        partitions=_with_splits(_partitions(members), members.get("split_at", {})),
        config=read_topic_config(config),
        internal=bool(members["internal"]),
        created_ms=_integer(members, "created_ms"),
        partitioning_epoch=_integer(members, "partitioning_epoch"),
        revision=_integer(members, "revision"),
    )


def _partitions(members: Mapping[str, object]) -> tuple[PartitionSpec, ...]:
    listed = members.get("partitions")
    if isinstance(listed, list):
        return tuple(
            PartitionSpec(
                KeyRange(low, high), sealed, tuple(map(PartitionId, parents)), _brokers(replicas)
            )
            for low, high, sealed, parents, replicas in listed
        )
    first_count, count = _integer(members, "first_count"), _integer(members, "partition_count")
    if not 0 < first_count <= count <= PARTITIONS_PER_TOPIC_MAX:
        raise ValueError("partition_count")
    return _by_halving(first_count, count, _brokers(members["replicas"]))


def _with_splits(
    partitions: tuple[PartitionSpec, ...], split_at: object
) -> tuple[PartitionSpec, ...]:
    if not isinstance(split_at, dict):
        raise TypeError("split_at")
    if not split_at:
        return partitions
    known = {int(number): Offset(int(offset)) for number, offset in split_at.items()}
    return tuple(replace(spec, split_at=known.get(n)) for n, spec in enumerate(partitions))


def _by_halving(
    first_count: int, count: int, replicas: tuple[BrokerId, ...]
) -> tuple[PartitionSpec, ...]:
    """What a topic has that was created with `first_count` and grew to `count`."""
    if first_count == 0:
        return ()
    split = halve_widest(even_ranges(first_count), count)
    return tuple(
        PartitionSpec(key_range, False, tuple(map(PartitionId, parents)), replicas)
        for key_range, parents in zip(split.ranges, split.parents, strict=True)
    )


def _brokers(value: object) -> tuple[BrokerId, ...]:
    if not isinstance(value, list):
        raise TypeError("replicas")
    return tuple(map(BrokerId, value))


def _integer(members: Mapping[str, object], name: str) -> int:
    value = members[name]
    if not isinstance(value, int):
        raise TypeError(name)
    return value


def _text(members: Mapping[str, object], name: str) -> str:
    value = members[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _misstated(path: str, error: Exception) -> StoredDataCorrupt:
    return StoredDataCorrupt(f"{path} lacks or misstates {error}", segment=path)
