"""What to try, by the reason of an error: the third line of an error, and part of `explain`.

A test holds this table complete against the error table.
"""

from collections.abc import Mapping
from types import MappingProxyType

REMEDIES = {
    "UNKNOWN_TOPIC": "list the topics with `logctl topics ls`, or make one with `logctl topics "
    "create`: topics are never made by producing",
    "UNKNOWN_PARTITION": "see the topic's partitions with `logctl topics describe TOPIC`",
    "UNKNOWN_GROUP": "list the groups with `logctl groups ls`; one exists from its first commit or "
    "from `logctl groups reset GROUP ... --create`",
    "OFFSET_OUT_OF_RANGE": "see what the log holds with `logctl partitions offsets TOPIC`, or "
    "start from `--from earliest`",
    "RECORD_TOO_LARGE": "send less at once, or raise the limit with `logctl topics set TOPIC "
    "message_bytes_max=16MiB`",
    "INVALID_NAME": "use letters, digits, '.', '_' and '-', at most 249 of them",
    "INVALID_TIMESTAMP": "check the clock of the producing machine, or leave the timestamp out",
    "UNSUPPORTED_CODEC": "produce with --compression none, lz4 or zstd, or upgrade the older side",
    "UNSUPPORTED_VERSION": "upgrade the older side; compare `logctl version` with "
    "`logctl brokers ls -o wide`",
    "INCONSISTENT_TOPIC_ID": "the topic was made anew under this name: start the client again",
    "INVALID_CONFIG": "see the command's --help; a topic's settings are in `logctl topics "
    "describe TOPIC`, a broker's in `logd start --help`",
    "MISSING_PACKAGE": "install the package that the message names, with pip",
    "INVALID_CREDENTIALS": "check the credentials that this client was given",
    "ACL_DENIED": "ask who administers the cluster for this permission",
    "TOPIC_EXISTS": "add --if-not-exists to accept it, or choose another name",
    "GROUP_EXISTS": "choose another name, or `logctl groups delete GROUP` first",
    "PRODUCER_FENCED": "stop this producer: another instance has taken its place",
    "OUT_OF_ORDER_SEQUENCE": "restart the producer; if it comes again, report it",
    "UNKNOWN_PRODUCER": "restart the producer; it will take a new id",
    "GROUP_NOT_EMPTY": "stop the group's consumers (`logctl groups members GROUP` names them); one "
    "that is no member counts for 30 s more",
    "UNKNOWN_MEMBER": "start the consumer again; it will join anew",
    "FENCED_MEMBER": "leave the partition to its member (`logctl groups members GROUP` names it), "
    "or stop the group's members first",
    "DUPLICATE_INSTANCE": "give each process a group_instance_id of its own, or none",
    "REBALANCE_IN_PROGRESS": "try again in a moment",
    "GROUP_REWOUND": "start the consumer again; it goes on from the new position (`logctl groups "
    "history GROUP`)",
    "COMMIT_BEHIND": "to go back on purpose use `logctl groups reset GROUP`",
    "DATA_DIRECTORY_LOCKED": "stop the broker that uses this directory, or name another with "
    "--data-dir",
    "ADDRESS_IN_USE": "name another address with --listen, or stop the program that has this one",
    "CONFLICT": "look at what the other change did, then try again",
    "STALE_PARTITIONING": "try again: the client reads the new partitions first",
    "NOT_LEADER": "try again; name more brokers with -b if it persists",
    "LEADER_NOT_AVAILABLE": "try again in some seconds; `logctl cluster health` tells more",
    "FENCED_LEADER_EPOCH": "try again: the client asks for the new leader first",
    "UNKNOWN_LEADER_EPOCH": "try again in a moment",
    "NOT_COORDINATOR": "try again: the client asks for the new coordinator first",
    "COORDINATOR_LOADING": "try again in some seconds",
    "OFFSET_NOT_AVAILABLE": "try again in a moment",
    "NOT_ENOUGH_REPLICAS": "bring the missing brokers back (`logctl brokers ls`); nothing was "
    "written",
    "SYNC_FAILED": "check the broker's disk and `logctl cluster health`; look whether the records "
    "are there before sending them again",
    "ACK_TIMEOUT": "look whether the records are there before sending them again; see "
    "`logctl cluster health`",
    "LOG_READ_ONLY": "check the broker's disk, then restart the broker: it scans the log first",
    "BROKER_DRAINING": "wait until the broker is back, or name another with -b",
    "BROKER_UNREACHABLE": "start a broker with `logd start`, or name the right one with -b "
    "HOST:PORT or LOGD_BOOTSTRAP",
    "REQUEST_TIMEOUT": "try again; see `logctl cluster health`, and --timeout to wait longer",
    "DELIVERY_TIMEOUT": "look whether the records are there before sending them again; see "
    "`logctl cluster health`",
    "OVERLOADED": "wait, or send less at once",
    "QUOTA_EXCEEDED": "wait, or send less at once",
    "STORAGE_FULL": "free disk on the broker, or lower retention with `logctl topics set TOPIC "
    "retention_bytes=10GiB`",
    "BUFFER_FULL": "send more slowly (--rate), or see why the broker is slow: `logctl cluster "
    "health`",
    "CORRUPT_BATCH": "send again; if it comes again, check this machine's memory and network",
    "STORED_DATA_CORRUPT": "stop the broker and run `logctl segments verify DIR`; read on after "
    "the damage with `--from` the next_offset named here",
    "UNDECODABLE_BATCH": "upgrade this client, or read on with `--from` the next_offset named here",
    "REPLAY_ENDED": "nothing: all of it is read; `logctl groups delete GROUP` forgets the fork",
    "CLIENT_CLOSED": "report this: logctl used a client that it had closed",
    "USED_AFTER_FORK": "make the first client after the fork, or start processes by 'spawn'",
    "USED_IN_ANOTHER_LOOP": "make one client in each asyncio.run(), or use logd.sync",
}
"""reason -> what to try."""

DEFAULT_REMEDY = "see `logctl cluster health`, and the broker's own messages"


def remedy(reason: str, details: Mapping[str, str] = MappingProxyType({})) -> str:
    """What to try for an error with these details; a reason of a newer broker gets the general
    advice."""
    if reason == "TOPIC_EXISTS" and "hint" in details:
        return f"use '{details['hint']}', or choose a name that differs in more than case"
    if reason == "STORED_DATA_CORRUPT":
        if details.get("segment", "").endswith("/format.json"):
            return f"restore {details['segment']} from a backup"
        if details.keys() & {"file", "key"}:  # of the metadata
            directory = details.get("file", "DIR/").rpartition("/")[0]
            return (
                f"restore metadata.sqlite from a backup, or make it again: `logctl segments "
                f"rebuild-metadata {directory}`"
            )
    return REMEDIES.get(reason, DEFAULT_REMEDY)
