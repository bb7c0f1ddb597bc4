"""The error table: one class per reason. Everything else about errors is derived from here.

The broker raises these; on the wire an error is its `reason`, its message and its `details`; the
SDK raises the same class again (`error_from_reason`). `logctl explain`, the exit status of `logctl`
and docs/errors.md come from the class attributes. Clients switch on `reason`, never on the gRPC
code alone: gRPC itself emits some codes.

A class states: `code` (gRPC status name, None where only the SDK raises it), `retriable` (the same
request may succeed later), `outcome_unknown` (it may have taken effect), `exit_status` of logctl,
`client_does`. Its docstring is what `logctl explain` prints.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

ERRORS: dict[str, type["LogdError"]] = {}
"""reason -> class, in the order of this file."""
PUBLIC_MODULE = "logd.errors"
"""Where users import errors from: tracebacks and pickles name it."""


class LogdError(Exception):
    """Root of every error that logd raises on purpose."""

    __module__ = PUBLIC_MODULE
    reason: ClassVar[str] = "UNKNOWN"
    code: ClassVar[str | None] = "UNKNOWN"
    retriable: ClassVar[bool] = False
    outcome_unknown: bool = False  # a single error may know better than its class
    exit_status: ClassVar[int] = 1
    client_does: ClassVar[str] = "raise"
    added: Any = ()  # by send_many(): the handles of the records before the one that failed

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, str] = {k: str(v) for k, v in details.items() if v is not None}

    def __init_subclass__(cls, **_: object) -> None:
        reason = cls.__dict__.get("reason")
        if reason is not None:
            assert reason not in ERRORS, f"{reason} stands twice in the error table"
            ERRORS[reason] = cls
            cls.__module__ = PUBLIC_MODULE

    def __str__(self) -> str:
        return self.message


def error_from_reason(reason: str, message: str, details: Mapping[str, str]) -> LogdError:
    """The exception of a received error; a reason of a newer broker becomes a plain LogdError."""
    cls = ERRORS.get(reason)
    if cls is None:
        return LogdError(f"{reason}: {message}", **dict(details))
    error = cls.__new__(cls)
    LogdError.__init__(error, message, **dict(details))
    return error


# Not found: exit status 3


class UnknownTopic(LogdError):
    """No topic has this name or id. It was never created, was deleted, or the name is misspelt."""

    reason, code, exit_status = "UNKNOWN_TOPIC", "NOT_FOUND", 3
    client_does = "refresh metadata once, then raise with 'did you mean'"


class UnknownPartition(LogdError):
    """The topic exists but has no partition of this number."""

    reason, code, exit_status = "UNKNOWN_PARTITION", "NOT_FOUND", 3
    client_does = "refresh metadata once, then raise"


class UnknownGroup(LogdError):
    """No consumer group of this name has committed an offset here."""

    reason, code, exit_status = "UNKNOWN_GROUP", "NOT_FOUND", 3


class OffsetOutOfRange(LogdError):
    """The offset lies outside the log: retention removed it, or it was never written."""

    reason, code, exit_status = "OFFSET_OUT_OF_RANGE", "OUT_OF_RANGE", 3
    client_does = "below the log: what on_records_lost says; beyond it: raise"


# What the caller wrote: exit status 2


class RecordTooLarge(LogdError):
    """A record or batch is larger than the topic's message_bytes_max. Nothing was written."""

    reason, code, exit_status = "RECORD_TOO_LARGE", "INVALID_ARGUMENT", 2
    client_does = "raise; the SDK checks first"


class InvalidName(LogdError):
    """Names take letters, digits, '.', '_' and '-', at most 249 of them, and not '.' or '..'."""

    reason, code, exit_status = "INVALID_NAME", "INVALID_ARGUMENT", 2


class InvalidTimestamp(LogdError):
    """A record's timestamp lies further in the future than the broker accepts (1 hour)."""

    reason, code, exit_status = "INVALID_TIMESTAMP", "INVALID_ARGUMENT", 2


class UnsupportedCodec(LogdError):
    """The batch names a compression codec or body format that this version does not know."""

    reason, code, exit_status = "UNSUPPORTED_CODEC", "INVALID_ARGUMENT", 2


class UnsupportedVersion(LogdError):
    """The data or the request is of a newer version than this program understands."""

    reason, code, exit_status = "UNSUPPORTED_VERSION", "INVALID_ARGUMENT", 2


class InconsistentTopicId(LogdError):
    """The topic id is not the one this name has now: the topic was deleted and created again."""

    reason, code, exit_status = "INCONSISTENT_TOPIC_ID", "INVALID_ARGUMENT", 2


class InvalidConfig(LogdError):
    """A setting or a field has a name or value that is not acceptable; details say which."""

    reason, code, exit_status = "INVALID_CONFIG", "INVALID_ARGUMENT", 2


# Denied: exit status 4


class InvalidCredentials(LogdError):
    """The request carries no credentials, or wrong ones."""

    reason, code, exit_status = "INVALID_CREDENTIALS", "UNAUTHENTICATED", 4
    client_does = "refresh once, then raise"


class AclDenied(LogdError):
    """The principal may not do this operation on this resource."""

    reason, code, exit_status = "ACL_DENIED", "PERMISSION_DENIED", 4


# Conflict: exit status 5


class TopicExists(LogdError):
    """A topic of this name exists, or one whose name differs only in case."""

    reason, code, exit_status = "TOPIC_EXISTS", "ALREADY_EXISTS", 5
    client_does = "raise; --if-not-exists accepts it"


class GroupExists(LogdError):
    """A group of this name exists already."""

    reason, code, exit_status = "GROUP_EXISTS", "ALREADY_EXISTS", 5
    client_does = "raise"


class ProducerFenced(LogdError):
    """A newer instance of this producer has taken over; this one must stop."""

    reason, code, exit_status = "PRODUCER_FENCED", "FAILED_PRECONDITION", 5
    client_does = "fatal"


class OutOfOrderSequence(LogdError):
    """A batch of an idempotent producer arrived before the one that precedes it."""

    reason, code, exit_status = "OUT_OF_ORDER_SEQUENCE", "FAILED_PRECONDITION", 5
    client_does = "retry in order, else raise the producer epoch"


class UnknownProducer(LogdError):
    """The partition holds no state of this producer id and the sequence is not 0, or the id or its
    epoch was never given out here."""

    reason, code, exit_status = "UNKNOWN_PRODUCER", "FAILED_PRECONDITION", 5
    client_does = "raise the producer epoch"


class GroupNotEmpty(LogdError):
    """The consumer group still has consumers; stop them first."""

    reason, code, exit_status = "GROUP_NOT_EMPTY", "FAILED_PRECONDITION", 5


class UnknownMember(LogdError):
    """The coordinator does not know this member of the group."""

    reason, code, exit_status = "UNKNOWN_MEMBER", "ABORTED", 5
    client_does = "rejoin"


class FencedMember(LogdError):
    """The partition is with another member of the group, or was since; nothing was committed."""

    reason, code, exit_status = "FENCED_MEMBER", "ABORTED", 5
    client_does = "give the partition up, and raise to who commits it"


class DuplicateInstance(LogdError):
    """Another process has joined the group under the same group_instance_id; the newest stays."""

    reason, code, exit_status = "DUPLICATE_INSTANCE", "ABORTED", 5
    client_does = "end, and not join again"


class RebalanceInProgress(LogdError):
    """Partitions of the group are changing hands."""

    reason, code, retriable, exit_status = "REBALANCE_IN_PROGRESS", "ABORTED", True, 5
    client_does = "rejoin"


class GroupRewound(LogdError):
    """The group was rewound since this consumer read its position; the commit was not applied."""

    reason, code, exit_status = "GROUP_REWOUND", "ABORTED", 5
    client_does = "drop buffers, fetch positions"


class CommitBehind(LogdError):
    """The committed offset is already higher, and the commit did not ask to go back."""

    reason, code, exit_status = "COMMIT_BEHIND", "FAILED_PRECONDITION", 5


class DataDirectoryLocked(LogdError):
    """Another broker uses this data directory; details name its process."""

    reason, code, exit_status = "DATA_DIRECTORY_LOCKED", "FAILED_PRECONDITION", 5


class AddressInUse(LogdError):
    """A broker was to listen on an address that another program has; details name it."""

    reason, code, exit_status = "ADDRESS_IN_USE", "FAILED_PRECONDITION", 5


class Conflict(LogdError):
    """Someone else changed the same thing at the same time; nothing was changed."""

    reason, code, retriable, exit_status = "CONFLICT", "ABORTED", True, 5
    client_does = "read again, then retry"


class StalePartitioning(LogdError):
    """The topic's partitions changed since the sender routed this batch."""

    reason, code, exit_status = "STALE_PARTITIONING", "FAILED_PRECONDITION", 5
    client_does = "refresh metadata and route again"


# Unavailable: exit status 6


class NotLeader(LogdError):
    """Another broker leads this partition; details name it."""

    reason, code, retriable, exit_status = "NOT_LEADER", "FAILED_PRECONDITION", True, 6
    client_does = "go to the named leader at once"


class LeaderNotAvailable(LogdError):
    """The partition has no leader at the moment; an election is under way."""

    reason, code, retriable, exit_status = "LEADER_NOT_AVAILABLE", "UNAVAILABLE", True, 6
    client_does = "back off, refresh metadata"


class FencedLeaderEpoch(LogdError):
    """The request believes in a leader epoch that is over."""

    reason, code, retriable, exit_status = "FENCED_LEADER_EPOCH", "FAILED_PRECONDITION", True, 6
    client_does = "refresh metadata, check for truncation"


class UnknownLeaderEpoch(LogdError):
    """The broker has not yet learnt of the leader epoch that the request names."""

    reason, code, retriable, exit_status = "UNKNOWN_LEADER_EPOCH", "UNAVAILABLE", True, 6
    client_does = "retry"


class NotCoordinator(LogdError):
    """Another broker coordinates this consumer group."""

    reason, code, retriable, exit_status = "NOT_COORDINATOR", "FAILED_PRECONDITION", True, 6
    client_does = "find the coordinator again"


class CoordinatorLoading(LogdError):
    """The coordinator is still reading the group's state from its log."""

    reason, code, retriable, exit_status = "COORDINATOR_LOADING", "UNAVAILABLE", True, 6
    client_does = "retry"


class OffsetNotAvailable(LogdError):
    """A new leader does not know its high watermark yet."""

    reason, code, retriable, exit_status = "OFFSET_NOT_AVAILABLE", "UNAVAILABLE", True, 6
    client_does = "retry"


class NotEnoughReplicas(LogdError):
    """Fewer replicas are in sync than min_insync_replicas; nothing was appended."""

    reason, code, retriable, exit_status = "NOT_ENOUGH_REPLICAS", "UNAVAILABLE", True, 6
    client_does = "retry"


class SyncFailed(LogdError):
    """The disk failed to sync under a waiting append; whether it was kept is not known."""

    reason, code, retriable, exit_status = "SYNC_FAILED", "UNAVAILABLE", True, 6
    outcome_unknown = True
    client_does = "idempotent retry, to another leader"


class AckTimeout(LogdError):
    """The append was written, but not acknowledged by its replicas or disk in time."""

    reason, code, retriable, exit_status = "ACK_TIMEOUT", "DEADLINE_EXCEEDED", True, 6
    outcome_unknown = True
    client_does = "idempotent retry"


class LogReadOnly(LogdError):
    """A failed sync turned this data directory read-only. Replace the disk, or restart to scan."""

    reason, code, exit_status = "LOG_READ_ONLY", "FAILED_PRECONDITION", 6
    client_does = "raise, alert"


class BrokerDraining(LogdError):
    """The broker is shutting down and takes no new work."""

    reason, code, retriable, exit_status = "BROKER_DRAINING", "UNAVAILABLE", True, 6
    client_does = "another broker, or retry"


class BrokerUnreachable(LogdError):
    """No broker answered at the given addresses within the time allowed."""

    reason, code, retriable, exit_status = "BROKER_UNREACHABLE", None, True, 6
    client_does = "retry, then raise with the addresses tried"
    unsent: bool = False  # there was no connection, so nothing of the call has left


class RequestTimeout(LogdError):
    """A request was not answered in time; the message says what it waited for."""

    reason, code, retriable, exit_status = "REQUEST_TIMEOUT", None, True, 6
    outcome_unknown = True
    client_does = "retry what is safe to repeat, else raise"


class DeliveryTimeout(LogdError):
    """Records were not acknowledged within delivery_timeout_ms."""

    reason, code, exit_status = "DELIVERY_TIMEOUT", None, 6
    outcome_unknown = True
    client_does = "raise; the outcome is unknown if the records were ever sent"


# Limits: exit status 7


class Overloaded(LogdError):
    """A bound of the broker is reached; details name it."""

    reason, code, retriable, exit_status = "OVERLOADED", "RESOURCE_EXHAUSTED", True, 7
    client_does = "wait, then retry"


class QuotaExceeded(LogdError):
    """The client's quota is used up for now."""

    reason, code, retriable, exit_status = "QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED", True, 7
    client_does = "wait, then retry"


class StorageFull(LogdError):
    """The broker's disk is full. Reads, commits and deletes go on; writes resume with space."""

    reason, code, exit_status = "STORAGE_FULL", "RESOURCE_EXHAUSTED", 7
    client_does = "raise, alert"


class BufferFull(LogdError):
    """The producer's buffer stayed full for max_block_ms: the broker does not keep up."""

    reason, code, exit_status = "BUFFER_FULL", None, 7


# Corruption: exit status 8


class CorruptBatch(LogdError):
    """A batch that was sent does not match its checksum or its own lengths; it was refused."""

    reason, code, exit_status = "CORRUPT_BATCH", "INVALID_ARGUMENT", 8
    client_does = "encode again, once"


class StoredDataCorrupt(LogdError):
    """Stored bytes do not match their checksum. They are never served; details say where."""

    reason, code, exit_status = "STORED_DATA_CORRUPT", "DATA_LOSS", 8
    client_does = "another replica, alert; step over with next_offset if told to"


class UndecodableBatch(LogdError):
    """A stored batch is intact, but its body cannot be decoded; details carry next_offset."""

    reason, code, exit_status = "UNDECODABLE_BATCH", None, 8
    client_does = "raise, or skip with on_undecodable"


# In the SDK: misuse


class ClientClosed(LogdError):
    """The producer, consumer or admin was used after it was closed."""

    reason, code, exit_status = "CLIENT_CLOSED", None, 1


class ReplayEnded(LogdError):
    """A group that replays the past has come to the end: there is nothing more to read. Loops end
    by it; a poll or a single batch that is asked for raises it."""

    reason, code, exit_status = "REPLAY_ENDED", None, 1
    client_does = "stop reading"


class MissingPackage(LogdError):
    """The call needs a Python package that is not installed; details and message name it."""

    reason, code, exit_status = "MISSING_PACKAGE", None, 1


class UsedAfterFork(LogdError):
    """A client was made before a fork and used after it, or made in the fork of a process that had
    used one: gRPC does not work there. Make the first client after the fork."""

    reason, code, exit_status = "USED_AFTER_FORK", None, 1


class UsedInAnotherLoop(LogdError):
    """An asyncio client was used in another event loop than before, where nothing it waits for
    would come. Make one in each `asyncio.run()` and each thread's loop, or use `logd.sync`."""

    reason, code, exit_status = "USED_IN_ANOTHER_LOOP", None, 1
