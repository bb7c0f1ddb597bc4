"""What sends are refused with, in both faces of the producer."""

from collections.abc import Sequence

from logd.model.errors import BufferFull, LogdError, RecordTooLarge, UnknownPartition
from logd_client.client_config import ProducerConfig
from logd_client.core.topic_lanes import Lengths, TopicLanes

NOT_KNOWN_TO_BE_TAKEN = (RecordTooLarge, UnknownPartition)
"""A topic may take by now what it did not when it was last asked: its metadata is read anew first.
"""


def buffer_full(config: ProducerConfig, buffered_bytes: int) -> BufferFull:
    """The error of a send() that waited too long."""
    return BufferFull(
        f"no room in the producer's buffer within max_block_ms={config.max_block_ms}: "
        f"{buffered_bytes} of buffer_memory={config.buffer_memory} bytes await their "
        "acknowledgement; the broker does not keep up, or does not answer",
        buffered_bytes=buffered_bytes,
        limit=config.buffer_memory,
    )


def to_be_asked(error: RecordTooLarge) -> BufferFull:
    """The error of a send_nowait() that would have to ask how much the topic takes by now."""
    return BufferFull(f"{error.message}, or did: use send(), which asks", **error.details)


def check_sizes(
    lanes: TopicLanes,
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None,
    has_nulls: bool,
) -> Lengths:
    """For `_put`, which looks whether the topic takes larger ones by now."""
    return lanes.check_sizes(values, keys, has_nulls=has_nulls)


def with_added(error: LogdError, added: int) -> LogdError:
    """The error of a send_many(), with how many records were added before it."""
    error.details["added"] = str(added)
    if isinstance(error, RecordTooLarge):
        error.details.setdefault("index", str(added))
    return error


def check_columns(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None,
    timestamps_ms: Sequence[int] | None,
) -> bool:
    """Whether a value is None. Raises TypeError and ValueError for what is not taken."""
    kinds = set(map(type, values))
    for what, found in (("values", kinds), ("keys", set(map(type, keys or ())))):
        wrong = found - {bytes, type(None)}
        if wrong:
            names = ", ".join(sorted(kind.__name__ for kind in wrong))
            raise TypeError(f"{what} are bytes or None, not {names}")
    for what, other in (("keys", keys), ("timestamps_ms", timestamps_ms)):
        if other is not None and len(other) != len(values):
            raise ValueError(f"{len(values)} values, but {len(other)} {what}")
    return type(None) in kinds
