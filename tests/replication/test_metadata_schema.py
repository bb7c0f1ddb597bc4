import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import StoredDataCorrupt, UnsupportedVersion
from logd.model.ids import BrokerId, Offset, PartitionId, TopicId
from logd.model.key_ranges import even_ranges, halve_widest
from logd.model.seams import KeyValue
from logd.model.topic import PARTITIONS_PER_TOPIC_MAX, PartitionSpec, Topic, TopicState
from logd.model.topic_config import TopicConfig
from logd_replication.metadata_schema import (
    BrokerEpochValue,
    decode_topic,
    decode_value,
    encode_topic,
    encode_value,
    topic_key,
    topic_name_key,
)
from logd_replication.sqlite_metadata_store import TRANSACTION_BYTES_MAX

TOPIC_ID = TopicId(bytes(range(16)))


def topic(partitions: tuple[PartitionSpec, ...], **changes: object) -> Topic:
    made = Topic(TOPIC_ID, "Orders", partitions, TopicConfig(), created_ms=1_700_000_000_000)
    return replace(made, **changes)  # type: ignore[arg-type]


def even(count: int) -> tuple[PartitionSpec, ...]:
    return tuple(PartitionSpec(key_range) for key_range in even_ranges(count))


def stored(found: Topic, revision: int = 0) -> KeyValue:
    return KeyValue(topic_key(found.topic_id), encode_topic(found), revision, 1)


def test_the_bytes_of_a_topic() -> None:
    written = json.loads(encode_topic(topic(even(6))))
    config = written.pop("config")
    assert config == TopicConfig().as_strings()
    assert written == {
        "name": "Orders",
        "state": "ready",
        "partitions": 6,
        "replicas": [[0]],
        "created_ms": 1_700_000_000_000,
    }
    assert topic_key(TOPIC_ID) == "topics/000102030405060708090a0b0c0d0e0f"
    assert topic_name_key("Orders") == "topic-names/orders"


def test_the_bytes_of_a_split_topic() -> None:
    split = halve_widest(even_ranges(1), 2)
    parts = (
        PartitionSpec(split.ranges[0], sealed=True),
        PartitionSpec(
            split.ranges[1],
            parents=(PartitionId(0),),
            replicas=(BrokerId(2),),
            split_at=Offset(12),
        ),
        PartitionSpec(split.ranges[1], replicas=(BrokerId(2), BrokerId(1))),
    )
    written = json.loads(encode_topic(topic(parts, partitioning_epoch=3, internal=True)))
    del written["config"], written["name"], written["state"], written["created_ms"]
    assert written == {
        "partitions": 3,
        "replicas": [[0], [2], [2, 1]],
        "partitioning_epoch": 3,
        "internal": True,
        "ranges": [0, 1 << 31, 1 << 31, 1 << 32, 1 << 31, 1 << 32],
        "sealed": [0],
        "parents": {"1": [0]},
        "split_at": {"1": 12},
    }


@given(
    count=st.integers(1, 12),
    added=st.integers(0, 12),
    sealed=st.sets(st.integers(0, 11)),
    replicas=st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    state=st.sampled_from(TopicState),
    internal=st.booleans(),
)
def test_a_topic_comes_back_as_it_was(
    count: int, added: int, sealed: set[int], replicas: list[int], state: TopicState, internal: bool
) -> None:
    split = halve_widest(even_ranges(count), count + added)
    held = tuple(BrokerId(broker) for broker in replicas)
    parts = tuple(
        PartitionSpec(
            key_range,
            sealed=number in sealed,
            parents=tuple(PartitionId(parent) for parent in split.parents[number]),
            replicas=held if number % 2 else held[:1],
            split_at=Offset(number - 1 - count) if number >= count and number % 3 else None,
        )
        for number, key_range in enumerate(split.ranges)
    )
    made = topic(parts, state=state, internal=internal, partitioning_epoch=added, revision=7)
    assert decode_topic(stored(made, 7)) == made


def test_the_largest_topic_fits_a_transaction() -> None:
    split = halve_widest(even_ranges(5001), PARTITIONS_PER_TOPIC_MAX)
    parts = tuple(
        PartitionSpec(
            key_range,
            sealed=True,
            parents=tuple(PartitionId(parent) for parent in parents),
            replicas=(BrokerId(9_999 - number % 7), BrokerId(9_990), BrokerId(9_989)),
            split_at=Offset(1 << 40) if parents else None,
        )
        for number, (key_range, parents) in enumerate(zip(split.ranges, split.parents, strict=True))
    )
    made = topic(parts, name="n" * 249)
    assert len(encode_topic(made)) < TRANSACTION_BYTES_MAX - 4096
    assert decode_topic(stored(made)) == made


def test_fields_of_a_newer_logd_are_passed_over() -> None:
    written = json.loads(encode_topic(topic(even(2))))
    written["colour"] = "blue"
    entry = replace(stored(topic(even(2))), value=json.dumps(written).encode())
    assert decode_topic(entry) == topic(even(2))


def test_settings_of_a_newer_logd_are_refused() -> None:
    written = json.loads(encode_topic(topic(even(2))))
    written["config"]["colour"] = "blue"
    entry = replace(stored(topic(even(2))), value=json.dumps(written).encode())
    with pytest.raises(UnsupportedVersion, match=r"'Orders'.*'colour'"):
        decode_topic(entry)


@pytest.mark.parametrize(
    "change",
    [
        {"partitions": "six"},
        {"partitions": 0},
        {"partitions": 3},
        {"ranges": [1, 2, 3]},
        {"replicas": [[0], [0], [0]]},
        {"replicas": []},
        {"state": "asleep"},
    ],
)
def test_a_value_that_makes_no_sense_names_its_key(change: dict[str, object]) -> None:
    written = json.loads(encode_topic(topic(even(2)))) | {"ranges": [0, 5, 5, 1 << 32]} | change
    entry = replace(stored(topic(even(2))), value=json.dumps(written).encode())
    with pytest.raises(StoredDataCorrupt, match=topic_key(TOPIC_ID)):
        decode_topic(entry)


def test_other_values_come_back_or_name_their_key() -> None:
    entry = KeyValue("broker-epochs/3", encode_value(BrokerEpochValue(4)), 1, 1)
    assert decode_value(entry, BrokerEpochValue) == BrokerEpochValue(4)
    with pytest.raises(StoredDataCorrupt, match="broker-epochs/3"):
        decode_value(replace(entry, value=b"\xff{"), BrokerEpochValue)
    with pytest.raises(StoredDataCorrupt, match="key 'topics/xyz'"):
        decode_topic(replace(stored(topic(even(1))), key="topics/xyz"))
