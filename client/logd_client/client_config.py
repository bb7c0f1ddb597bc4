"""The settings of Producer, Consumer and Admin: names, types, bounds, defaults, and what they mean.

They are keyword arguments with the names that Kafka's clients use. This is the one place where each
is documented: `docs/client-settings.md` is made from it.
"""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, TypedDict, TypeVar

from logd.model.errors import InvalidConfig

BATCH_BYTES_LIMIT = 16 << 20
"""No producer fills batches beyond this: larger ones cost latency and memory and gain nothing."""

IN_FLIGHT_LIMIT = 8
"""Half of the batches a broker remembers per producer and partition (16), so that a retry is always
recognised."""

BOOTSTRAP_VARIABLE = "LOGD_BOOTSTRAP"
"""Of the environment: where a broker is, unless the program says it. logctl reads it, too."""

START_TIMEOUT_MS = 3_000
"""How long a client looks for a broker that answers when it is started by `with`."""

_SERIALIZING = "keys and values are bytes: encode and decode them beside the client"
_BY_BROKER = "the broker shares partitions out: see `group_remote_assignor`"
_BY_STREAM = "a member's stream shows that it lives: see `session_timeout_ms`"
_OF_CONSUMERS = "it is a setting of consumers"
_NOT_SECURE_YET = "there is neither TLS nor a login yet: see docs/operations"
KAFKA_ONLY = {
    **dict.fromkeys(
        ("key_serializer", "value_serializer", "key_deserializer", "value_deserializer"),
        _SERIALIZING,
    ),
    **dict.fromkeys(("session_timeout_ms", "max_poll_interval_ms"), _OF_CONSUMERS),
    "heartbeat_interval_ms": _BY_STREAM,
    **dict.fromkeys(("security_protocol", "ssl_cafile", "sasl_mechanism"), _NOT_SECURE_YET),
    "partition_assignment_strategy": _BY_BROKER,
    "group_protocol": _BY_BROKER,
    "rebalance_timeout_ms": "how long a partition may take to be given up is "
    "`revocation_timeout_ms`",
    "transactional_id": "there are no transactions",
}
"""Settings of Kafka's clients that have nothing near here -> why."""

T = TypeVar("T")
C = TypeVar("C", bound="ClientConfig")


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of one setting besides its type and default. Bounds are inclusive."""

    meaning: str
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()


def _setting(
    default: T,
    meaning: str,
    *,
    low: int | None = None,
    high: int | None = None,
    choices: tuple[str, ...] = (),
) -> T:
    declared: T = field(default=default, metadata={"setting": Setting(meaning, low, high, choices)})
    return declared


_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """What every client can be told."""

    bootstrap_servers: str | Sequence[str] = _setting(
        "127.0.0.1:9600",
        "Brokers to start from, HOST:PORT, as a list or separated by commas. Not given, or None: "
        "what LOGD_BOOTSTRAP in the environment says, else the default.",
    )
    client_id: str = _setting("logd", "A name for the brokers' logs and metrics.")
    request_timeout_ms: int = _setting(
        30_000, "How long one request may take, retries included.", low=1, high=_DAY_MS
    )
    retry_backoff_ms: int = _setting(
        100, "Wait before the first retry; it doubles up to 0.4 s.", low=1, high=1_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerConfig(ClientConfig):
    """What a producer can be told."""

    acks: Literal["all", "leader"] = _setting(
        "all",
        "What an acknowledgement means: every in-sync replica holds the record, or the leader "
        "does. 'all' or -1, 'leader' or 1.",
        choices=("all", "leader"),
    )
    enable_idempotence: bool = _setting(
        True,
        "Number the batches, so that a retry never writes twice nor out of order. Without it a "
        "retry may do both.",
    )
    linger_ms: int = _setting(
        5, "How long a batch that is not full waits for more records.", low=0, high=60_000
    )
    batch_size: int = _setting(
        512 << 10, "Bytes at which a batch is full.", low=1 << 10, high=BATCH_BYTES_LIMIT
    )
    buffer_memory: int = _setting(
        64 << 20,
        "Bytes of records that may wait for their acknowledgement; beyond, send() waits.",
        low=1 << 10,
        high=1 << 40,
    )
    max_block_ms: int = _setting(
        60_000,
        "How long send() may wait for room in the buffer; for a topic's metadata at most "
        "request_timeout_ms too.",
        low=0,
        high=_DAY_MS,
    )
    delivery_timeout_ms: int = _setting(
        120_000,
        "How long a record may take from send() to its acknowledgement, retries included; then it "
        "fails with DeliveryTimeout.",
        low=1,
        high=_DAY_MS,
    )
    max_in_flight_requests_per_connection: int = _setting(
        IN_FLIGHT_LIMIT,
        "Batches of one partition that may await their acknowledgement at once.",
        low=1,
        high=IN_FLIGHT_LIMIT,
    )
    compression_type: Literal["none", "lz4", "zstd"] = _setting(
        "none", "Codec of the batches.", choices=("none", "lz4", "zstd")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerConfig(ClientConfig):
    """What a consumer can be told."""

    group_id: str | None = _setting(
        None,
        "Group that shares the topics' partitions among its members, and whose committed offsets "
        "say where to start; without one nothing is committed.",
    )
    group_instance_id: str | None = _setting(
        None,
        "Makes it a static member: a process that starts again under this name within "
        "session_timeout_ms goes on with the partitions it had. One process at a time.",
    )
    pattern: str | None = _setting(
        None,
        "Read all topics whose whole name matches this RE2 pattern, now and later, beside those "
        "named; of a member.",
    )
    session_timeout_ms: int = _setting(
        10_000,
        "How long a member whose stream is broken goes on with what it has; how long a static one "
        "may be away.",
        low=1_000,
        high=_DAY_MS,
    )
    max_poll_interval_ms: int = _setting(
        300_000,
        "How long a member may work on what it has received before its partitions go to others.",
        low=1,
        high=_DAY_MS,
    )
    revocation_timeout_ms: int = _setting(
        30_000,
        "How long a member may take to finish with a partition that another shall have.",
        low=1,
        high=_DAY_MS,
    )
    group_remote_assignor: Literal["uniform", "range"] = _setting(
        "uniform",
        "How the broker shares partitions out: evenly and with few moves, or by ranges of each "
        "topic. What most members want counts.",
        choices=("uniform", "range"),
    )
    client_rack: str | None = _setting(
        None, "Where a member runs: it is given partitions with a replica there first."
    )
    auto_offset_reset: Literal["earliest", "latest", "none"] = _setting(
        "earliest",
        "Where to start where the group has committed nothing, or there is no group; 'none' raises "
        "OffsetOutOfRange. No error ever leads there.",
        choices=("earliest", "latest", "none"),
    )
    enable_auto_commit: bool = _setting(
        True, "Commit what has been handed out, at an interval and on close."
    )
    auto_commit_interval_ms: int = _setting(
        5_000, "The interval of those commits.", low=1, high=_DAY_MS
    )
    partitions: Sequence[int] | Mapping[str, Sequence[int]] | None = _setting(
        None,
        "Partitions to read: a list for a single topic, or a list by topic; without it all, also "
        "those that are added later, or with a group_id this member's share of them.",
    )
    max_poll_records: int = _setting(
        500, "Records that one poll() gives at most.", low=1, high=1 << 20
    )
    fetch_min_bytes: int = _setting(
        1, "Bytes that a fetch waits for, up to fetch_max_wait_ms.", low=0, high=1 << 30
    )
    metadata_max_age_ms: int = _setting(
        30_000, "How soon a partition that was added is read.", low=1, high=_DAY_MS
    )
    fetch_max_wait_ms: int = _setting(500, "How long a fetch waits.", low=0, high=60_000)
    max_partition_fetch_bytes: int = _setting(
        1 << 20, "Bytes of one partition in one fetch; one batch always fits.", low=1, high=1 << 26
    )
    fetch_max_bytes: int = _setting(
        4 << 20, "Bytes of one fetch; one batch always fits.", low=1, high=1 << 26
    )
    isolation_level: Literal["read_committed"] = _setting(
        "read_committed",
        "Which records are seen. There is no other before there are transactions.",
        choices=("read_committed",),
    )
    on_undecodable: Literal["raise", "skip"] = _setting(
        "raise",
        "What to do with a batch that no decoder here understands.",
        choices=("raise", "skip"),
    )
    on_records_lost: Literal["go_on", "raise"] = _setting(
        "go_on",
        "What to do where retention took records before they were read: warn, and go on with the "
        "first that is left, or raise OffsetOutOfRange, as auto_offset_reset='none' does.",
        choices=("go_on", "raise"),
    )

    @property
    def is_member(self) -> bool:
        """It shares its topics with the others of its group; who names partitions does not."""
        return self.group_id is not None and self.partitions is None


class ClientSettings(TypedDict, total=False):
    """Keyword arguments of all clients besides `bootstrap_servers`; ClientConfig documents them."""

    client_id: str
    request_timeout_ms: int
    retry_backoff_ms: int


class ProducerSettings(ClientSettings, total=False):
    """Keyword arguments of a Producer; ProducerConfig documents them."""

    acks: Literal["all", "leader", -1, 1]
    enable_idempotence: bool
    linger_ms: int
    batch_size: int
    buffer_memory: int
    max_block_ms: int
    delivery_timeout_ms: int
    max_in_flight_requests_per_connection: int
    compression_type: Literal["none", "lz4", "zstd"]


class ConsumerSettings(ClientSettings, total=False):
    """Keyword arguments of a Consumer; ConsumerConfig documents them."""

    group_id: str | None
    group_instance_id: str | None
    pattern: str | None
    session_timeout_ms: int
    max_poll_interval_ms: int
    revocation_timeout_ms: int
    group_remote_assignor: Literal["uniform", "range"]
    client_rack: str | None
    auto_offset_reset: Literal["earliest", "latest", "none"]
    enable_auto_commit: bool
    auto_commit_interval_ms: int
    partitions: Sequence[int] | Mapping[str, Sequence[int]] | None
    max_poll_records: int
    metadata_max_age_ms: int
    fetch_min_bytes: int
    fetch_max_wait_ms: int
    max_partition_fetch_bytes: int
    fetch_max_bytes: int
    isolation_level: Literal["read_committed"]
    on_undecodable: Literal["raise", "skip"]
    on_records_lost: Literal["go_on", "raise"]


def parse_settings(config_type: type[C], settings: Mapping[str, Any]) -> C:
    """The config of these keyword arguments. Raises InvalidConfig, which says what to write."""
    declared = {f.name: f for f in fields(config_type)}
    values = {}
    for name, value in settings.items():
        if name not in declared:
            raise InvalidConfig(_unknown(config_type, name, list(declared)), field=name)
        setting: Setting = declared[name].metadata["setting"]
        default = declared[name].default
        if name == "bootstrap_servers" and value is None:
            value = os.environ.get(BOOTSTRAP_VARIABLE) or default
        assert default is not MISSING, "every setting has a default"
        values[name] = _checked(name, value, default, setting)
    config = config_type(**values)
    if isinstance(config, ProducerConfig) and config.batch_size > config.buffer_memory:
        raise InvalidConfig(
            f"batch_size is {config.batch_size}, but buffer_memory only {config.buffer_memory}: "
            "no batch would fit",
            field="batch_size",
        )
    if isinstance(config, ConsumerConfig) and not config.is_member:
        for name in ("pattern", "group_instance_id"):
            if getattr(config, name) is not None:
                raise InvalidConfig(
                    f"{name} is for members: consumers with a group_id and without partitions",
                    field=name,
                )
    return config


def _unknown(config_type: type[ClientConfig], name: str, known: list[str]) -> str:
    client = config_type.__name__.removesuffix("Config")
    if why := KAFKA_ONLY.get(name.replace(".", "_")):
        return f"{client} has no setting '{name}'; {why}"
    near = difflib.get_close_matches(name.replace(".", "_"), known, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}"
    return f"{client} has no setting '{name}'; {hint}"


def _checked(name: str, value: Any, default: Any, setting: Setting) -> Any:
    if name == "acks" and value in (-1, 1) and not isinstance(value, bool):
        return "all" if value == -1 else "leader"
    if setting.choices:
        if value not in setting.choices:
            raise _invalid(name, value, " or ".join(repr(c) for c in setting.choices))
    elif isinstance(default, bool):
        if not isinstance(value, bool):
            raise _invalid(name, value, "True or False")
    elif isinstance(default, int):
        low, high = setting.low, setting.high
        assert low is not None and high is not None, f"{name} has no bounds"
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _invalid(name, value, f"an int, {low} to {high}")
    elif name == "partitions":
        lists = list(value.values()) if isinstance(value, Mapping) else [value]
        if not all(listed is None or _is_numbers(listed) for listed in lists):
            raise _invalid(name, value, "a list of partition numbers, lists by topic, or None")
    elif name == "bootstrap_servers":
        texts = value if isinstance(value, Sequence) else [value]
        if not all(isinstance(text, str) for text in texts):
            raise _invalid(name, value, "HOST:PORT, a list of them, or several with commas")
    else:
        if not (isinstance(value, str) and value) and not (value is None and default is None):
            raise _invalid(name, value, "a text that is not empty")
    return value


def _is_numbers(listed: Any) -> bool:
    return isinstance(listed, Sequence) and all(
        isinstance(p, int) and not isinstance(p, bool) and p >= 0 for p in listed
    )


def _invalid(name: str, value: Any, takes: str) -> InvalidConfig:
    return InvalidConfig(f"{name} is {value!r}, but takes {takes}", field=name)
