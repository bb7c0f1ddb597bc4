"""One record as a consumer receives it."""

from collections.abc import Sequence
from typing import NamedTuple


class Record(NamedTuple):
    """A record with its place in the log.

    `timestamp_ms` is ms since 1970 UTC, the producer's, or the leader's in a topic with
    timestamp_type append_time. `value` None is a tombstone. `headers` are (name, value) in order.

    A named tuple, because whole batches of them are made in C (see RecordBatch).
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
