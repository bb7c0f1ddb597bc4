"""Which segments a topic's retention lets go. Pure: whole segments, the oldest first.

By size a log keeps at least `retention_bytes`; by time a segment goes once its last batch was
appended more than `retention_ms` ago. Nothing goes that readers may not have seen yet, that is from
the high watermark on.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from logd.model.ids import Offset
from logd.model.topic_config import TopicConfig

NEVER_EXPIRES = 1 << 62
"""As `last_append_ms`: time does not let this go."""


@dataclass(frozen=True, slots=True)
class SealedSegment:
    """What retention looks at. `last_append_ms` is -1 in a segment without batches."""

    size_bytes: int
    next_base_offset: Offset
    last_append_ms: int


def expired_count(
    sealed: Iterable[SealedSegment],
    log_bytes: int,
    high_watermark: Offset,
    config: TopicConfig,
    now_ms: int | None,
) -> int:
    """How many of the oldest segments go. `now_ms` None: the clock can't be trusted, keep all that
    only time would let go. `log_bytes`: of all segments, the active one too."""
    count = 0
    for segment in sealed:
        if segment.next_base_offset > high_watermark:
            break
        too_large = 0 <= config.retention_bytes <= log_bytes - segment.size_bytes
        too_old = is_expired(segment.last_append_ms, config, now_ms)
        if not too_large and not too_old:
            break
        log_bytes -= segment.size_bytes
        count += 1
    return count


def is_expired(last_append_ms: int, config: TopicConfig, now_ms: int | None) -> bool:
    """Whether what was appended last at that time may go by now."""
    if now_ms is None or config.retention_ms < 0:
        return False
    return now_ms - last_append_ms > config.retention_ms
