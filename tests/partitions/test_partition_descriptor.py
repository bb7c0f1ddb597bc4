from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import StoredDataCorrupt, UnsupportedVersion
from logd.model.ids import BrokerId, Offset, PartitionId, TopicId
from logd.model.key_ranges import even_ranges, halve_widest
from logd.model.topic import PartitionSpec, Topic
from logd.model.topic_config import TopicConfig
from logd_partitions.core.checked_json import decode_checked, encode_checked
from logd_partitions.directory.partition_descriptor import (
    PartitionDescriptor,
    decode_descriptor,
    encode_descriptor,
    topic_members,
)

GOLDEN = b"""\
{
 "version": 1,
 "topic_id": "000102030405060708090a0b0c0d0e0f",
 "topic": "orders",
 "internal": false,
 "created_ms": 1700000000000,
 "partitioning_epoch": 1,
 "revision": 9,
 "config": {
  "segment_bytes": "268435456",
  "segment_ms": "604800000",
  "retention_ms": "1000",
  "retention_bytes": "-1",
  "cleanup_policy": "delete",
  "delete_retention_ms": "86400000",
  "durability": "fsync",
  "min_insync_replicas": "1",
  "message_bytes_max": "8388608",
  "timestamp_type": "create_time",
  "unclean_election": "false"
 },
 "partition_count": 3,
 "first_count": 2,
 "replicas": [
  0
 ],
 "partition": 1,
 "crc32c": "f257d0ab"
}
"""


def topic(first: int = 2, total: int = 3, replicas: tuple[int, ...] = (0,)) -> Topic:
    split = halve_widest(even_ranges(first), total)
    return Topic(
        topic_id=TopicId(bytes(range(16))),
        name="orders",
        partitions=tuple(
            PartitionSpec(
                key_range,
                parents=tuple(PartitionId(p) for p in parents),
                replicas=tuple(BrokerId(r) for r in replicas),
            )
            for key_range, parents in zip(split.ranges, split.parents, strict=True)
        ),
        config=TopicConfig(retention_ms=1000),
        partitioning_epoch=1,
        created_ms=1_700_000_000_000,
        revision=9,
    )


def written(of: Topic, partition: int = 1) -> bytes:
    return encode_descriptor(topic_members(of), PartitionId(partition))


def read(data: bytes) -> PartitionDescriptor:
    return decode_descriptor(data, "orders-1/partition.json")


def test_golden_bytes() -> None:
    assert written(topic()) == GOLDEN


def test_the_topic_comes_back() -> None:
    found = read(written(topic()))
    assert found.topic_partition == (topic().topic_id, 1)
    assert (found.topic_name, found.revision) == ("orders", 9)
    assert found.topic() == topic()


@given(first=st.integers(1, 9), more=st.integers(0, 9), broker=st.integers(0, 5))
def test_grown_topics_come_back_from_two_numbers(first: int, more: int, broker: int) -> None:
    grown = topic(first, first + more, (broker, 7))
    data = written(grown)
    assert "partitions" not in decode_checked(data, "x")
    assert read(data).topic() == grown


@given(split_ats=st.lists(st.none() | st.integers(-1, 1 << 62), min_size=3, max_size=3))
def test_where_partitions_began_comes_back(split_ats: list[int | None]) -> None:
    plain = topic(1, 4)
    specs = tuple(
        replace(spec, split_at=None if at is None else Offset(at))
        for spec, at in zip(plain.partitions, [None, *split_ats], strict=True)
    )
    grown = replace(plain, partitions=specs)
    data = written(grown)
    assert "partitions" not in decode_checked(data, "x")
    assert read(data).topic() == grown


def test_a_file_stays_small_in_a_wide_topic() -> None:
    wide = topic(10_000, 10_000)
    data = written(wide)
    assert len(data) < 1500
    assert read(data).topic() == wide


@pytest.mark.parametrize(
    "change", [{"sealed": True}, {"replicas": (BrokerId(4),)}, {"parents": (PartitionId(2),)}]
)
def test_other_partitions_are_listed(change: dict[str, object]) -> None:
    plain = topic()
    odd = replace(plain.partitions[1], **change)  # type: ignore[arg-type]
    changed = replace(plain, partitions=(plain.partitions[0], odd, plain.partitions[2]))
    data = written(changed)
    assert "partitions" in decode_checked(data, "x")
    assert read(data).topic() == changed


def test_damage_and_versions() -> None:
    with pytest.raises(StoredDataCorrupt, match=r"orders-1/partition\.json"):
        read(written(topic())[:-3])
    newer = encode_checked({"version": 2, "something": "else"})
    with pytest.raises(UnsupportedVersion, match="newer logd"):
        read(newer)


@pytest.mark.parametrize("name", ["version", "topic_id", "topic", "partition", "revision"])
@pytest.mark.parametrize("value", [None, [], "x", {"a": 1}])
def test_members_that_are_wrong(name: str, value: object) -> None:
    members = {**decode_checked(written(topic()), "x"), name: value}
    if (name, value) != ("topic", "x"):
        with pytest.raises(StoredDataCorrupt):
            read(encode_checked(members))


@pytest.mark.parametrize(
    "name", ["config", "first_count", "partition_count", "replicas", "split_at"]
)
@pytest.mark.parametrize("value", [None, 0, 99_999, "x", {"a": "1"}])
def test_members_of_the_topic_that_are_wrong(name: str, value: object) -> None:
    members = {**decode_checked(written(topic()), "x"), name: value}
    found = read(encode_checked(members))
    with pytest.raises(StoredDataCorrupt):
        found.topic()
