"""Storage's offline tools, for `logctl segments`: the one door through which the CLI sees storage.

Nothing here needs, starts or disturbs a broker.
"""

from logd_partitions.directory_check import CheckFinding, CheckReport, check_directory
from logd_partitions.segment_tools import (
    DumpedBatch,
    SegmentInfo,
    dump_segment,
    list_segments,
)

__all__ = [
    "CheckFinding",
    "CheckReport",
    "DumpedBatch",
    "SegmentInfo",
    "check_directory",
    "dump_segment",
    "list_segments",
]
