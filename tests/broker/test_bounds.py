"""Every table that a broker holds in memory, and what bounds it whatever clients name.

A new table fails this until its bound stands here: a constant, `module.NAME`, or the reason why
none is needed.
"""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "logd/broker": "logd.broker",
    "logd/system": "logd.system",
    "logd/rpc": "logd.rpc",
    "logd/flight": "logd.flight",
    "partitions/logd_partitions": "logd_partitions",
    "replication/logd_replication": "logd_replication",
    "consumer_groups/logd_consumer_groups": "logd_consumer_groups",
}
TABLES = {"dict", "set", "list", "deque", "OrderedDict", "WeakValueDictionary", "SimpleQueue"}

CATALOG = "logd_replication.topic_catalog.PARTITIONS_MAX"
GROUPS = "logd_consumer_groups.group_coordinator.GROUPS_PER_PARTITION_MAX"
CONSUMERS = "logd_consumer_groups.core.consumers_seen.SEEN_MAX"
COMMITS = "logd_consumer_groups.core.commit_rates.SAMPLES_MAX"
MEMBERS = "logd_consumer_groups.core.session_messages.MEMBERS_PER_GROUP_MAX"
CALLS = "logd.broker.doors.grpc_door.grpc_server.STREAMS_PER_CONNECTION_MAX"
EXCHANGES = "logd.broker.doors.flight_door.flight_server.EXCHANGES_MAX"
UNSYNCED = "logd_partitions.sync.sync_progress.UNSYNCED_BYTES_MAX"
OF_THE_CODE = "as many as the code has names, methods or listeners"
BROKERS = "as many as there are brokers, and methods of the code"
OF_ONE_START = "of one start or one recovery: what the disk holds"
OF_ONE_CALL = "of one assignment: the group's members and the partitions of their topics"
RAISED_EPOCHS = "logd_replication.producer_id_blocks.RAISED_EPOCHS_MAX"
WAITING = "logd.broker.core.purgatory.WAITED_FOR_MAX"

BOUNDS = {
    "GrpcTransport._channels": BROKERS,
    "GrpcTransport._calls": BROKERS,
    "GrpcTransport._untold": "a read and a write for each stream that is held",
    "Purgatory._by_partition": WAITING,
    "Purgatory._waiting": "logd.broker.core.purgatory.WAITING_FETCHES_MAX",
    "FlightServer._tasks": EXCHANGES,
    "AuthorizedTopics._authorized": "logd.broker.doors.grpc_door.authorized_topics.REMEMBERED_MAX",
    "FetchStream._positions": "logd.broker.doors.grpc_door.fetch_stream.POSITIONS_PER_STREAM_MAX",
    "FetchStream._requests": "logd.broker.doors.grpc_door.fetch_stream.REQUESTS_PENDING_MAX",
    "GrpcListener._servers": "logd.broker.doors.grpc_door.grpc_listener.CALLS_GO_ON_S",
    "HealthService._serving": OF_THE_CODE,
    "PlainAppends._waiting": CALLS,
    "ProduceStream._acks": "logd.broker.doors.grpc_door.produce_stream.PENDING_ENTRIES_MAX",
    "EventRates._seconds": "logd.broker.event_rates.KEYS_MAX",
    "Connections._streams": "an entry a stream, which costs more itself",
    "HighWatermark._held": "one a replica",
    "HostedPartition.pending": UNSYNCED,
    "PartitionHost._hosted": CATALOG,
    "PartitionHost._opening": CATALOG,
    "PartitionHost._unopened": CATALOG,
    "SpaceAhead._growing": CATALOG,
    "Maintenance._failed": CATALOG,
    "Refusals._noted": "logd.broker.refusals.GROUPS_MAX",
    "BackgroundTasks._failures": OF_THE_CODE,
    "BackgroundTasks._running": "each is of something that is bounded itself",
    "FlightExchange._inbox": "logd.flight.flight_exchange.INBOX_MESSAGES_MAX",
    "FlightExchange._outbox": "logd.flight.flight_exchange.OUTBOX_MESSAGES_MAX",
    "ByteRanges._bounds": "logd_partitions.core.byte_ranges.RANGES_MAX",
    "_DirectoryCheck._points": OF_ONE_START,
    "Flusher._lazy": CATALOG,
    "Flusher._again": CATALOG,
    "Flusher._held": CATALOG,
    "LogDirectory._logs": CATALOG,
    "LogDirectory._topics": CATALOG,
    "LogDirectory._unclean": OF_ONE_START,
    "LogDirectory._problems": OF_ONE_START,
    "PartitionClaims._aside": OF_ONE_START,
    "PartitionClaims.in_doubt": OF_ONE_START,
    "LogDirectory._open_marks": CATALOG,
    "LogDirectory._synced_logs": CATALOG,
    "LogDirectory._unsynced_logs": CATALOG,
    "LogDirectory._unsynced_marks": CATALOG,
    "LogRecovery._segments": OF_ONE_START,
    "LogRecovery._problems": OF_ONE_START,
    "LogSegment.damaged": "logd_partitions.partition_log.DAMAGE_TOLD_MAX",
    "OpenFiles._files": "logd_partitions.open_files.FILES_MAX",
    "OpenFiles._maps": "logd_partitions.open_files.MAPS_MAX",
    "ProducerState._producers": "logd_partitions.core.producer_state.PRODUCERS_MAX",
    "RecoveryPoints._packed": CATALOG,
    "SyncQueue._waiting": CATALOG,
    "SyncQueue._taken": CATALOG,
    "SyncQueue._parts": "logd_partitions.sync.sync_queue.SYNCS_AT_ONCE_MAX",
    "SyncProgress._unsynced": UNSYNCED,
    "MetadataWatch.pending": "logd_replication.metadata_watch.PENDING_EVENTS_MAX",
    "ProducerIdBlocks._raised": RAISED_EPOCHS,
    "SqliteMetadataStore._watches": OF_THE_CODE,
    "SqliteMetadataStore._leases": "no client can ask for one",
    "TopicCatalog._by_id": CATALOG,
    "TopicCatalog._by_folded_name": CATALOG,
    "TopicCatalog._listeners": OF_THE_CODE,
    "TopicCatalog._deletions": CATALOG,
    "_Table._subscribers": OF_ONE_CALL,
    "_Table.owned": OF_ONE_CALL,
    "_Table.owners": OF_ONE_CALL,
    "CommitRates._samples": COMMITS,
    "CommitRates._groups": COMMITS,
    "ConsumersSeen._groups": CONSUMERS,
    "ConsumersSeen._order": CONSUMERS,
    "ShardState.groups": GROUPS,
    "GroupShard._turns": CALLS,
    "GroupMembers._live": MEMBERS,
    "MemberSession.committed": "one message's, which is read before the next",
    "Membership.target": CATALOG,
    "SplitWaits._splits": CATALOG,
    "SplitWaits.waiting": CATALOG,
    "TopicLookup._matching": "logd_consumer_groups.topic_lookup.PATTERNS_KEPT",
}


def tables() -> Iterator[str]:
    """Attributes that begin as an empty table, as `Class.attribute`."""
    for folder in PACKAGES:
        for path in (ROOT / folder).rglob("*.py"):
            for found in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(found, ast.ClassDef):
                    yield from _tables_of(found)


def _tables_of(owner: ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(owner):
        match node:
            case ast.AnnAssign(
                target=ast.Attribute(value=ast.Name(id="self"), attr=name), annotation=kind
            ) if node.value is not None:
                if ast.unparse(kind).split("[")[0].split(".")[-1] in TABLES:
                    yield f"{owner.name}.{name}"


def test_every_table_has_a_bound() -> None:
    found = set(tables())
    assert len(found) > 40, "the search finds nothing any more"
    assert sorted(found - set(BOUNDS)) == [], "no bound is named for it"
    assert sorted(set(BOUNDS) - found) == [], "it is there no more"


@pytest.mark.parametrize("bound", sorted({b for b in BOUNDS.values() if " " not in b}))
def test_bounds_exist(bound: str) -> None:
    module, _, name = bound.rpartition(".")
    assert getattr(importlib.import_module(module), name) > 0


def test_the_page_for_operators_has_the_numbers() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    table = page.split("## What clients can make a broker remember")[1].split("\n## ")[0]
    for bound in (
        CALLS,
        "logd.broker.doors.grpc_door.grpc_server.CONNECTIONS_MAX",
        CATALOG,
        GROUPS,
        "logd.broker.core.purgatory.WAITING_FETCHES_MAX",
        WAITING,
        "logd.broker.doors.grpc_door.fetch_stream.POSITIONS_PER_STREAM_MAX",
        "logd.broker.doors.grpc_door.produce_stream.PENDING_ENTRIES_MAX",
        "logd_partitions.core.producer_state.PRODUCERS_MAX",
        RAISED_EPOCHS,
        CONSUMERS,
        COMMITS,
        MEMBERS,
    ):
        module, _, name = bound.rpartition(".")
        assert f"{getattr(importlib.import_module(module), name):,}" in table, bound
