"""The kinds of values that options and arguments take, each with a parser and its error."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import click

from logd.cli import times
from logd.cli.error_report import BadUsage, did_you_mean, near_names
from logd.model.errors import LogdError

PARTITIONS_MAX = 10_000
"""As many as a topic may have: bounds what a range such as 0-9999 can ask for."""


class ParsedType(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A value made by a parser that raises ValueError with a message for people."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except (ValueError, LogdError) as error:
            return self.fail(str(error), param, ctx)


class OneOf(click.Choice[str]):
    """A choice whose refusal says what may have been meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self.choices:
            return value
        known = ", ".join(self.choices)
        mean = did_you_mean(near_names(str(value), self.choices))
        return self.fail(f"'{value}' is none of {known}{mean}", param, ctx)


class TopicPartitions(NamedTuple):
    """A topic, and some of its partitions; empty: all."""

    topic: str
    partitions: tuple[int, ...]

    @property
    def one(self) -> int:
        """The partition, where exactly one must be named."""
        if len(self.partitions) != 1:
            raise BadUsage(
                f"'{self.topic}' names no single partition",
                attempt=f"write {self.topic}:0 for its first partition",
            )
        return self.partitions[0]


def parse_topic(text: str) -> str:
    """A topic's name, checked by the rule for names."""
    from logd.model.topic import check_name

    check_name(text, "topic")
    return text


def parse_group(text: str) -> str:
    """A group's name, checked by the rule for names."""
    from logd.model.topic import check_name

    check_name(text, "group")
    return text


def parse_partitions(text: str) -> tuple[int, ...]:
    """'0,2-4' is (0, 2, 3, 4): ascending, each once."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"'{text}' names no partitions: write 0,2-4")
        low, high = int(first), int(last or first)
        if high >= PARTITIONS_MAX or low > high:
            raise ValueError(f"'{part}' is no range of partitions from 0 to {PARTITIONS_MAX - 1}")
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))


def parse_topic_partitions(text: str) -> TopicPartitions:
    """'orders', 'orders:3', 'orders:0,2-4'."""
    topic, colon, partitions = text.partition(":")
    return TopicPartitions(parse_topic(topic), parse_partitions(partitions) if colon else ())


def partitions_by_topic(topics: Sequence[TopicPartitions]) -> dict[str, list[int]]:
    """What was named of each topic, in the order of the topics; empty: all of it. Naming a topic
    without partitions takes all of it."""
    wanted: dict[str, list[int]] = {}
    for topic, partitions in topics:
        seen = wanted.setdefault(topic, list(partitions))
        wanted[topic] = sorted({*seen, *partitions}) if seen and partitions else []
    return wanted


def parse_pair(text: str) -> tuple[str, str]:
    """'name=value'; the value may hold further '='."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"'{text}' is no pair: write name=value")
    return name, value


def parse_bootstrap(text: str) -> str:
    """HOST:PORT[,HOST:PORT...], each once."""
    from logd.model.addresses import parse_addresses

    return ",".join(map(str, parse_addresses(text)))


TOPIC = ParsedType("topic", parse_topic)


def _check_time(text: str) -> str:
    """Kept as text: what '@-1h' means is known when the command runs."""
    times.parse_time(text, 0)
    return text


GROUP = ParsedType("group", parse_group)
PARTITIONS = ParsedType("partitions", parse_partitions)
TOPIC_PARTITIONS = ParsedType("topic[:partitions]", parse_topic_partitions)
PAIR = ParsedType("name=value", parse_pair)
BOOTSTRAP = ParsedType("host:port,..", parse_bootstrap)
TIME = ParsedType("time", _check_time)
DURATION = ParsedType("duration", times.parse_duration)
SIZE = ParsedType("size", times.parse_size)
RATE = ParsedType("rate", times.parse_rate)
