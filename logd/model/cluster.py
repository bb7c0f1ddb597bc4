"""What broker, SDK and logctl say of the cluster: brokers, connections, sizes, what is wrong.

Times are ms since 1970 UTC, sizes are bytes.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["warning", "error"]


@dataclass(frozen=True, slots=True)
class BrokerDescription:
    """A broker that is alive. `flight_address` empty: no Arrow Flight door."""

    broker_id: int
    address: str
    rack: str
    pid: int
    flight_address: str
    started_ms: int
    version: str


@dataclass(frozen=True, slots=True)
class Connection:
    """A stream that a client holds open with its broker: it `does` write or read, and has since
    `since_ms`. `peer` is where it comes from, as gRPC says it."""

    client_id: str
    peer: str
    does: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class TopicSize:
    """What a topic holds, all partitions together, and records/s appended over about the last
    minute. None: not known, as of logs that were not opened since the broker started."""

    records: int | None
    size_bytes: int | None
    append_rate: float


@dataclass(frozen=True, slots=True)
class HealthProblem:
    """Something wrong that an operator should know of. `severity` is warning or error; `reason` a
    stable upper-case name, as POSSIBLE_LOSS or one of the error table; `resource` what it is about:
    a partition, a file, a group; `message` says what to try.
    """

    severity: str
    reason: str
    resource: str
    message: str
    since_ms: int
