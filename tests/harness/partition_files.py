"""Partitions written by hand, byte by byte as the format has them, without a PartitionLog."""

from collections.abc import Sequence
from pathlib import Path

from logd.model.batch_encoder import encode_batch
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId
from logd.model.key_ranges import even_ranges
from logd.model.record_batch import HEADER_BYTES, Codec, stamp
from logd.model.topic import PartitionSpec, Topic
from logd.model.topic_config import TopicConfig
from logd_partitions.directory.partition_descriptor import (
    FILE_NAME,
    encode_descriptor,
    topic_members,
)

TOPIC = Topic(
    TopicId(bytes(range(16))),
    "orders",
    tuple(PartitionSpec(key_range) for key_range in even_ranges(4)),
    TopicConfig(),
)


def stored_batch(
    base_offset: int,
    records: int,
    *,
    at_ms: int = 1_700_000_000_000,
    leader_epoch: int = 1,
    synced_hint: int = 0,
    codec: Codec = Codec.NONE,
) -> bytes:
    """A batch as it stands in a segment."""
    values = [b"record %d" % (base_offset + i) for i in range(records)]
    batch = encode_batch(values, timestamps_ms=at_ms, codec=codec)
    head = stamp(
        batch,
        leader_epoch=LeaderEpoch(leader_epoch),
        base_offset=Offset(base_offset),
        append_timestamp_ms=at_ms,
        synced_hint=Offset(synced_hint),
    )
    return head + batch[HEADER_BYTES:]


def write_partition(root: Path, partition: int, topic: Topic = TOPIC) -> Path:
    """An empty partition's directory."""
    path = root / f"{topic.name}-{partition}"
    path.mkdir()
    data = encode_descriptor(topic_members(topic), PartitionId(partition))
    (path / FILE_NAME).write_bytes(data)
    return path


def write_segment(
    directory: Path, base_offset: int, batches: Sequence[bytes], reserved_bytes: int = 0
) -> Path:
    """A segment file, with space reserved behind its end."""
    path = directory / f"{base_offset:020d}.log"
    path.write_bytes(b"".join(batches) + bytes(reserved_bytes))
    return path
