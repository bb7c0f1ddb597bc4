"""What a PartitionLog and its LogDirectory need of each other, as Protocols."""

from typing import Protocol

from logd.model.ids import TopicPartition
from logd_partitions.recovery.recovery_points import RecoveryPoint


class Recoverable(Protocol):
    """A log that can say from where a start would have to read it."""

    @property
    def topic_partition(self) -> TopicPartition: ...

    @property
    def closed(self) -> bool:
        """It was closed, or let go of because its files are being removed."""
        ...

    def recovery_point(self, *, open: bool) -> RecoveryPoint:
        """The synced end: its segment, position and offset, and the log start offset.

        Everything below it is synced. `open` is the directory's knowledge: whether more may stand
        behind it.
        """
        ...


class DirectoryPort(Protocol):
    """What a PartitionLog asks of the directory it lives in."""

    def before_first_append(self, log: Recoverable) -> None:
        """Called once a run, from any thread, before the log's first write of the run.

        Makes the partition's directory and `partition.json` where they are missing, and notes the
        partition as open. Does not wait for the disk: the flusher's round makes it durable
        together with the append (`LogDirectory.sync`), before `finish_sync`, thus before the
        acknowledgement. Raises OSError or StorageFull, and then nothing may be written.
        """
        ...

    def bounds_changed(self, log: Recoverable) -> None:
        """The log's start has moved forward, or its end falls. Blocking: durable on return, with
        what the log's first append made.

        Called before a file that held what is gone is removed, from any thread. Raises OSError.
        """
        ...
