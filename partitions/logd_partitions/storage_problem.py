"""Something wrong on disk that an operator should know of: logged, and shown in cluster health."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["warning", "error"]


@dataclass(frozen=True, slots=True)
class StorageProblem:
    """`reason` is a stable upper-case name, such as POSSIBLE_LOSS, STORED_DATA_CORRUPT, ORPHANED,
    LOG_READ_ONLY, RECOVERY_POINTS_LOST. `resource` names the partition, file or directory;
    `message` says what to try; `since_ms` is wall time.
    """

    severity: Severity
    reason: str
    resource: str
    message: str
    since_ms: int
