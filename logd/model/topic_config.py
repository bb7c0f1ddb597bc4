"""Settings of a topic: names, types, bounds, defaults; as users write them and as stored."""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

from logd.model.errors import InvalidConfig

Durability = Literal["fsync", "page_cache"]

PROBLEMS_TOLD_MAX = 10
"""Of one request: an error stays under 4 KiB."""
MESSAGE_BYTES_MAX_LIMIT = 64 << 20
"""No topic may take batches above this: a reader must be able to hold one."""

_DURATION_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SIZE = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """What a topic can be told. -1 means no limit. Times in ms, sizes in bytes."""

    segment_bytes: int = 256 << 20
    segment_ms: int = 7 * 86_400_000
    retention_ms: int = 7 * 86_400_000
    retention_bytes: int = -1
    cleanup_policy: str = "delete"
    delete_retention_ms: int = 86_400_000
    durability: Durability = "fsync"
    min_insync_replicas: int = 1
    message_bytes_max: int = 8 << 20
    timestamp_type: str = "create_time"
    unclean_election: bool = False

    def as_strings(self) -> dict[str, str]:
        """Every setting in the form `parse_topic_config` reads."""
        return {f.name: _to_string(getattr(self, f.name)) for f in fields(self)}


NOT_YET_OBEYED = {
    "delete_retention_ms": "compaction",
    "unclean_election": "replicas",
}
"""Settings that are stored and change nothing -> what has to exist first. Only their defaults are
taken: who sets one relies on it."""

NAMES = [f.name for f in fields(TopicConfig)]
CHOICES = {
    "cleanup_policy": ("delete",),
    "durability": ("fsync", "page_cache"),
    "timestamp_type": ("create_time", "append_time"),
}
BOUNDS = {
    "segment_bytes": (1 << 20, 1 << 31),
    "segment_ms": (1000, 1 << 53),
    "retention_ms": (-1, 1 << 53),
    "retention_bytes": (-1, 1 << 60),
    "delete_retention_ms": (0, 1 << 53),
    "min_insync_replicas": (1, 64),
    "message_bytes_max": (1 << 10, MESSAGE_BYTES_MAX_LIMIT),
}


def parse_topic_config(settings: Mapping[str, str], base: TopicConfig | None = None) -> TopicConfig:
    """`base` (or the defaults) with `settings` laid over it. Raises InvalidConfig, which names all
    that is wrong (at most PROBLEMS_TOLD_MAX)."""
    return _parse_all(settings, base or TopicConfig(), _parse_given)


def read_topic_config(settings: Mapping[str, str]) -> TopicConfig:
    """What is stored, perhaps by a version that took more. Raises InvalidConfig."""
    return _parse_all(settings, TopicConfig(), _parse)


def _parse_all(
    settings: Mapping[str, str], base: TopicConfig, parse: Callable[[str, str], object]
) -> TopicConfig:
    changes: dict[str, object] = {}
    problems: list[InvalidConfig] = []
    for name, text in settings.items():
        try:
            changes[name] = parse(name, text)
        except InvalidConfig as problem:
            problems.append(problem)
    if problems:
        told = problems[:PROBLEMS_TOLD_MAX]
        more = len(problems) - len(told)
        messages = [problem.message for problem in told] + [f"and {more} more"] * bool(more)
        fields_told = ", ".join(problem.details["field"] for problem in told)
        raise InvalidConfig("; ".join(messages), field=fields_told)
    return replace(base, **changes)  # type: ignore[arg-type]


def _parse_given(name: str, text: str) -> object:
    value = _parse(name, text)
    if name in NOT_YET_OBEYED and value != (default := getattr(TopicConfig(), name)):
        raise InvalidConfig(
            f"{name} changes nothing before there is {NOT_YET_OBEYED[name]}: leave it at "
            f"{_to_string(default)}",
            field=name,
        )
    return value


def _parse(name: str, text: str) -> object:
    if name not in NAMES:
        hint = difflib.get_close_matches(name, NAMES, 1)
        mean = f"; did you mean '{hint[0]}'?" if hint else f"; known are {', '.join(NAMES)}"
        raise InvalidConfig(f"unknown topic setting '{name[:60]}'{mean}", field=name[:60])
    text = text.strip()
    if name in CHOICES:
        if text not in CHOICES[name]:
            choices = " or ".join(CHOICES[name])
            raise InvalidConfig(f"{name} is '{text[:60]}', but takes {choices}", field=name)
        return text
    if name == "unclean_election":
        if text not in ("true", "false"):
            raise InvalidConfig(f"{name} is '{text[:60]}', but takes true or false", field=name)
        return text == "true"
    value = parse_duration_ms(text, name) if name.endswith("_ms") else parse_size(text, name)
    low, high = BOUNDS[name]
    if not low <= value <= high:
        raise InvalidConfig(f"{name} is {value}, but must be {low} to {high}", field=name)
    return value


def parse_duration_ms(text: str, name: str = "duration") -> int:
    """'1h30m', '500ms', '7d' or a plain number of ms (also -1). Raises InvalidConfig."""
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    parts = re.findall(r"(\d{1,18})(ms|[smhdw])", text)
    if not parts or "".join(a + b for a, b in parts) != text:
        raise InvalidConfig(
            f"{name} is '{text[:60]}', but takes a duration such as 1h30m or 500ms", field=name
        )
    return sum(int(number) * _DURATION_MS[unit] for number, unit in parts)


def parse_size(text: str, name: str = "size") -> int:
    """'512KiB', '10MB' or a plain number of bytes (also -1). Raises InvalidConfig."""
    match = re.fullmatch(r"(-?\d{1,18})([KMGT]i?B|B|)", text)
    if not match:
        raise InvalidConfig(
            f"{name} is '{text[:60]}', but takes a size such as 512KiB or 10MB", field=name
        )
    return int(match[1]) * _SIZE[match[2]]


def _to_string(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
