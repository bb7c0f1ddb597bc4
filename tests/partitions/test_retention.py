from collections.abc import Iterator

import pytest

from logd.model.ids import Offset
from logd.model.topic_config import TopicConfig
from logd_partitions.core.retention import NEVER_EXPIRES, SealedSegment, expired_count

SEALED = [SealedSegment(100, Offset(10 * n), 1000 * n) for n in (1, 2, 3)]
"""Three segments of 100 bytes, before an active one of 50."""
FOREVER = TopicConfig(retention_ms=-1, retention_bytes=-1)


@pytest.mark.parametrize(
    ("retention_bytes", "retention_ms", "high_watermark", "now_ms", "count"),
    [
        (-1, -1, 99, 10**9, 0),
        (349, -1, 99, 0, 0),
        (250, -1, 99, 0, 1),
        (249, -1, 99, 0, 1),
        (150, -1, 99, 0, 2),
        (0, -1, 99, 0, 3),
        (0, -1, 29, 0, 2),
        (0, -1, 9, 0, 0),
        (-1, 500, 99, 1500, 0),
        (-1, 500, 99, 1501, 1),
        (-1, 500, 99, 2501, 2),
        (-1, 500, 99, None, 0),
        (-1, 0, 99, 1000, 0),
        (150, 500, 99, None, 2),
        (150, 500, 99, 10_000, 3),
    ],
)
def test_the_oldest_segments_go(
    retention_bytes: int,
    retention_ms: int,
    high_watermark: int,
    now_ms: int | None,
    count: int,
) -> None:
    config = TopicConfig(retention_bytes=retention_bytes, retention_ms=retention_ms)
    assert expired_count(SEALED, 350, Offset(high_watermark), config, now_ms) == count


def test_one_that_stays_keeps_all_behind_it() -> None:
    first = SealedSegment(100, Offset(5), NEVER_EXPIRES)
    config = TopicConfig(retention_ms=1)
    assert expired_count([first, *SEALED], 450, Offset(99), config, 10**9) == 0


def test_no_more_is_looked_at_than_needed() -> None:
    def segments() -> Iterator[SealedSegment]:
        yield SEALED[0]
        raise AssertionError("a segment's time index was read for nothing")

    assert expired_count(segments(), 350, Offset(9), FOREVER, 0) == 0
