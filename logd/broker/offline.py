"""Storage's offline tools, for `logctl segments`: the one door through which the CLI sees storage.

Nothing here needs, starts or disturbs a broker.
"""

from logd.broker.directory_backup import Backup, back_up
from logd.broker.metadata_repair import (
    RebuildPlan,
    carry_out,
    check_metadata,
    planned_rebuild,
)
from logd.broker.partition_adoption import AdoptionPlan, carry_out_adoption, planned_adoption
from logd_partitions.offline.directory_check import CheckFinding, CheckReport, check_directory
from logd_partitions.offline.segment_tools import (
    DumpedBatch,
    SegmentInfo,
    dump_segment,
    list_segments,
)

__all__ = [
    "AdoptionPlan",
    "Backup",
    "CheckFinding",
    "CheckReport",
    "DumpedBatch",
    "RebuildPlan",
    "SegmentInfo",
    "back_up",
    "carry_out",
    "carry_out_adoption",
    "check_directory",
    "check_metadata",
    "dump_segment",
    "list_segments",
    "planned_adoption",
    "planned_rebuild",
]
