"""Settings as users write them and as they are stored."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import InvalidConfig
from logd.model.topic_config import (
    BOUNDS,
    CHOICES,
    NOT_YET_OBEYED,
    PROBLEMS_TOLD_MAX,
    TopicConfig,
    parse_duration_ms,
    parse_size,
    parse_topic_config,
    read_topic_config,
)

NAMES = [field.name for field in fields(TopicConfig)]


def test_defaults_are_written_and_read_back() -> None:
    written = TopicConfig().as_strings()
    assert list(written) == NAMES
    assert parse_topic_config(written) == TopicConfig()
    assert parse_topic_config({}) == TopicConfig()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("segment_bytes", "1MiB", 1 << 20),
        ("segment_bytes", " 2GiB ", 1 << 31),
        ("segment_ms", "1s", 1000),
        ("retention_ms", "-1", -1),
        ("retention_ms", "1h30m", 5_400_000),
        ("retention_bytes", "10GB", 10**10),
        ("delete_retention_ms", "1d", 86_400_000),
        ("durability", "page_cache", "page_cache"),
        ("timestamp_type", "append_time", "append_time"),
        ("cleanup_policy", "delete", "delete"),
        ("min_insync_replicas", "2", 2),
        ("message_bytes_max", "64MiB", 64 << 20),
        ("unclean_election", "false", False),
    ],
)
def test_settings(name: str, text: str, value: object) -> None:
    config = parse_topic_config({name: text})
    assert getattr(config, name) == value
    assert parse_topic_config(config.as_strings()) == config


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("segment_bytes", "1MiB1"),
        ("segment_bytes", "1048575"),
        ("segment_bytes", "3GiB"),
        ("segment_ms", "999"),
        ("segment_ms", "-1"),
        ("retention_ms", "-2"),
        ("retention_ms", "1x"),
        ("retention_ms", ""),
        ("retention_ms", "h1"),
        ("retention_bytes", "ten"),
        ("retention_bytes", "9" * 5000),
        ("retention_ms", "9" * 5000),
        ("retention_ms", "9" * 5000 + "d"),
        ("durability", "fsync!"),
        ("cleanup_policy", "compact"),
        ("min_insync_replicas", "0"),
        ("message_bytes_max", "65MiB"),
        ("unclean_election", "yes"),
        ("unclean_election", "true"),
        ("delete_retention_ms", "1s"),
    ],
)
def test_refused_settings(name: str, text: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse_topic_config({name: text})
    assert caught.value.details["field"] == name and name in str(caught.value)
    assert len(str(caught.value)) < 300


def test_what_is_stored_is_read_although_it_is_taken_no_more() -> None:
    stored = {**TopicConfig().as_strings(), "unclean_election": "true", "delete_retention_ms": "5"}
    config = read_topic_config(stored)
    assert (config.unclean_election, config.delete_retention_ms) == (True, 5)
    assert config.as_strings() == stored


def test_unknown_settings_are_hinted_at() -> None:
    with pytest.raises(InvalidConfig, match="did you mean 'retention_ms'"):
        parse_topic_config({"retention.ms": "1"})
    with pytest.raises(InvalidConfig, match="known are segment_bytes, "):
        parse_topic_config({"colour": "red"})
    with pytest.raises(InvalidConfig) as caught:
        parse_topic_config({"x" * 5000: ""})
    assert len(str(caught.value)) < 500


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse_topic_config(
            {"colour": "red", "segment_ms": "1", "retention_ms": "1h", "durability": ""}
        )
    assert caught.value.details["field"] == "colour, segment_ms, durability"
    for name in ("colour", "segment_ms", "durability"):
        assert name in caught.value.message
    with pytest.raises(InvalidConfig) as caught:
        parse_topic_config({f"{n:03}" * 100: "" for n in range(1000)})
    assert caught.value.message.endswith(f"; and {1000 - PROBLEMS_TOLD_MAX} more")
    assert len(caught.value.message.encode()) + len(str(caught.value.details)) < 4096


def test_the_page_says_what_each_setting_takes() -> None:
    page = (Path(__file__).parents[2] / "docs/topic-settings.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `.*?` \| `(.*)` \|", page, re.MULTILINE)
    takes = dict(rows)
    assert sorted(takes) == sorted(NAMES)
    for name, choices in CHOICES.items():
        assert tuple(takes[name].split("` or `")) == choices
    for name in NOT_YET_OBEYED:
        assert takes.pop(name) == TopicConfig().as_strings()[name]
    for name, bounds in BOUNDS.items():
        if name not in takes:
            continue
        parse = parse_duration_ms if name.endswith("_ms") else parse_size
        assert tuple(map(parse, takes[name].split("` to `"))) == bounds, name


def test_a_base_keeps_what_is_not_named() -> None:
    base = parse_topic_config({"retention_ms": "1h", "durability": "page_cache"})
    config = parse_topic_config({"retention_ms": "2h"}, base)
    assert (config.retention_ms, config.durability) == (7_200_000, "page_cache")


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0", 0), ("-1", -1), ("15", 15), ("15ms", 15), ("2s", 2000), ("1d12h", 129_600_000)],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("-1", -1), ("7B", 7), ("3KB", 3000), ("3KiB", 3072), ("1TiB", 1 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@given(st.text(max_size=20))
def test_any_text_parses_or_is_refused(text: str) -> None:
    for parse in (parse_duration_ms, parse_size):
        try:
            assert isinstance(parse(text), int)
        except InvalidConfig:
            continue


@given(st.sampled_from(NAMES), st.text(max_size=20))
def test_any_setting_parses_or_is_refused(name: str, text: str) -> None:
    try:
        config = parse_topic_config({name: text})
    except InvalidConfig as error:
        assert error.details["field"] == name
        return
    assert parse_topic_config(config.as_strings()) == config
