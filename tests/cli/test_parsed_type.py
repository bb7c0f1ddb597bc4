import pytest

from logd.cli.parsed_type import (
    TopicPartitions,
    parse_bootstrap,
    parse_pair,
    parse_partitions,
    parse_topic_partitions,
)


def test_partitions_are_sorted_and_each_once() -> None:
    assert parse_partitions("3,0,2-4") == (0, 2, 3, 4)


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "4-2", "0-99999999999", "1,,2", "²"])
def test_what_names_no_partitions(text: str) -> None:
    with pytest.raises(ValueError, match="partitions"):
        parse_partitions(text)


def test_a_topic_with_and_without_partitions() -> None:
    assert parse_topic_partitions("orders") == TopicPartitions("orders", ())
    assert parse_topic_partitions("orders:0,2-3") == TopicPartitions("orders", (0, 2, 3))
    assert parse_topic_partitions("orders:2").one == 2


def test_a_value_may_hold_equals_signs() -> None:
    assert parse_pair("a=b=c") == ("a", "b=c")
    with pytest.raises(ValueError, match="name=value"):
        parse_pair("=b")


@pytest.mark.parametrize("text", ["127.0.0.1:9600", "a:1,b:2", "[::1]:9600"])
def test_addresses(text: str) -> None:
    assert parse_bootstrap(text) == text


@pytest.mark.parametrize("text", ["a", "a:", ":1", "a:0", "a:65536", "a:1,"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_bootstrap(text)
