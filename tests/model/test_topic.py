"""Names, and finding a partition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import InvalidName, UnknownPartition
from logd.model.ids import TopicId
from logd.model.key_ranges import even_ranges
from logd.model.topic import NAME_LENGTH_MAX, PartitionSpec, Topic, TopicState, check_name
from logd.model.topic_config import TopicConfig


@pytest.mark.parametrize("name", ["a", "orders", "A.b_c-9", "...", "__x", "-", "x" * 249])
def test_good_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a b", "a/b", "ä", "a\n", "\n", "a\0", "x" * 250, "a:0", "\u0661"]
)
def test_refused_names(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_name(name, "group")
    assert "group name" in str(caught.value) and caught.value.details == {"field": "group"}


@given(st.text(max_size=2 * NAME_LENGTH_MAX))
def test_the_message_stays_short(name: str) -> None:
    try:
        check_name(name)
    except InvalidName as error:
        assert len(str(error)) < 250


def topic(count: int) -> Topic:
    partitions = tuple(PartitionSpec(key_range) for key_range in even_ranges(count))
    return Topic(TopicId(bytes(16)), "orders", partitions, TopicConfig())


def test_partition_by_number() -> None:
    of_three = topic(3)
    assert [of_three.partition(n).key_range for n in range(3)] == even_ranges(3)
    assert of_three.state is TopicState.READY and not of_three.internal


@pytest.mark.parametrize("number", [-1, 3, 1 << 31])
def test_unknown_partition(number: int) -> None:
    with pytest.raises(UnknownPartition, match="only 0 to 2") as caught:
        topic(3).partition(number)
    assert caught.value.details == {"topic": "orders", "partition": str(number)}
