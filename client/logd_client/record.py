"""One record as a consumer receives it."""

from collections.abc import Sequence

import msgspec


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record with its place in the log.

    `timestamp_ms` is ms since 1970 UTC, the producer's, or the leader's in a topic with
    timestamp_type append_time. `value` None is a tombstone. `headers` are (name, value) in order.

    A Struct, because C makes it from columns (see RecordBatch) in half the time of a named tuple;
    its fields cannot make a cycle, so the garbage collector need not know of it.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
