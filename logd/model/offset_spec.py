"""A place in a partition, as broker, SDK and logctl name it, and what was found there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from logd.model.checked_values import INT64_MIN, check_int, time_to_ms
from logd.model.errors import InvalidConfig, LogdError
from logd.model.ids import LeaderEpoch, Offset, PartitionId

OffsetAt = Literal["earliest", "latest", "offset", "append_time", "record_time"]


@dataclass(frozen=True, slots=True)
class OffsetSpec:
    """A place in a partition: one of its ends, an offset, or the first record at a time.

    Times are datetimes with a time zone, or ms since 1970 UTC. A record has two: when the broker
    appended it (`at_time`), and its own timestamp, which its producer chose (`at_record_time`).
    """

    at: OffsetAt
    value: int = 0

    def __post_init__(self) -> None:
        """Raises InvalidConfig for what is no place."""
        if self.at not in get_args(OffsetAt):
            raise InvalidConfig(f"'{self.at}' is no place in a partition", field="at")
        object.__setattr__(self, "value", check_int(self.at, self.value, INT64_MIN))

    @classmethod
    def earliest(cls) -> "OffsetSpec":
        """The log start offset."""
        return cls("earliest")

    @classmethod
    def latest(cls) -> "OffsetSpec":
        """The high watermark."""
        return cls("latest")

    @classmethod
    def at_offset(cls, offset: int) -> "OffsetSpec":
        """This offset, clamped to what the log holds."""
        return cls("offset", offset)

    @classmethod
    def at_time(cls, time: datetime | int) -> "OffsetSpec":
        """The first record appended at or after this time; the high watermark if there is none."""
        return cls("append_time", time_to_ms("time", time))

    @classmethod
    def at_record_time(cls, time: datetime | int) -> "OffsetSpec":
        """The first record whose own timestamp is at or after this time; those behind it may be
        older. The high watermark if there is none."""
        return cls("record_time", time_to_ms("time", time))


@dataclass(frozen=True, slots=True)
class FoundOffset:
    """What a look-up gave. `timestamp_ms` is that of the record found; None where none was, and the
    offset is then the high watermark; and where damaged records stand there, which may be what was
    asked for: their reader will be told."""

    partition: PartitionId
    offset: Offset
    timestamp_ms: int | None
    leader_epoch: LeaderEpoch
    error: LogdError | None = None
