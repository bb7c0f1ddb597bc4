"""The one place that knows implementations: builds a broker from a configuration and seams.

The seams are `real_seams`, or the simulator's; everything else is the same.
"""

import errno
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from logd import __version__
from logd.broker.authorizer import AllowAll
from logd.broker.broker import Broker
from logd.broker.broker_pools import BrokerPools
from logd.broker.config import BrokerConfig
from logd.broker.connections import Connections
from logd.broker.doors.grpc_door.cluster_service import ClusterService
from logd.broker.doors.grpc_door.data_service import DataService
from logd.broker.doors.grpc_door.group_service import GroupService
from logd.broker.doors.grpc_door.topic_service import TopicService
from logd.broker.host_log_view import HostLogView
from logd.broker.maintenance import Maintenance
from logd.broker.offsets_topic_log import OFFSETS_TOPIC_CONFIG, OffsetsTopicLog
from logd.broker.partition_host import PartitionHost
from logd.broker.refusals import Refusals
from logd.broker.single_broker import SingleBroker
from logd.broker.space_watch import SpaceWatch
from logd.broker.start_progress import Steps, unwatched
from logd.broker.topic_sizes import TopicSizes
from logd.model.cluster import BrokerDescription, HealthProblem
from logd.model.errors import InvalidConfig, LogdError, UnknownTopic
from logd.model.group import OFFSETS_PARTITIONS, OFFSETS_TOPIC
from logd.model.ids import BrokerId, LeaderEpoch, PartitionId
from logd.model.seams import Clock, FileSystem, MetadataStore, Random
from logd.model.topic import Topic
from logd.rpc.calls import bound
from logd.rpc.dispatcher import Dispatcher
from logd.system.background_tasks import BackgroundTasks
from logd_consumer_groups.group_coordinator import GroupCoordinator
from logd_partitions.core.disk_errors import write_error
from logd_partitions.directory.log_directory import LogDirectory
from logd_replication.broker_epoch import ensure_cluster, raise_broker_epoch
from logd_replication.producer_id_blocks import ProducerIdBlocks
from logd_replication.topic_catalog import TopicCatalog

METADATA_FILE = "metadata.sqlite"


@dataclass(frozen=True, slots=True)
class Seams:
    """Everything a broker needs of the world outside.

    `open_metadata(path, must_exist)`: a store that must exist and does not is StoredDataCorrupt.
    `problems`: what else cluster health shall tell of, as sources of a SingleBroker.
    """

    clock: Clock
    random: Random
    file_system: FileSystem
    pools: BrokerPools
    tasks: BackgroundTasks
    open_metadata: Callable[[str, bool], Awaitable[MetadataStore]]
    process_id: int
    problems: Sequence[Callable[[], Sequence[HealthProblem]]] = ()


async def open_broker(config: BrokerConfig, seams: Seams, begin: Steps = unwatched) -> Broker:
    """Lock the data directory, load metadata, recover what a crash left, build the services."""
    try:
        return await _open_broker(config, seams, begin)
    except OSError as error:
        raise _unusable(error, config.data_dir) from error


def _unusable(error: OSError, data_dir: str) -> LogdError:
    if isinstance(error, NotADirectoryError | FileExistsError):
        why = "is a file, or lies in one: name a directory"
    elif isinstance(error, PermissionError) or error.errno == errno.EROFS:
        why = f"cannot be written: {error.strerror} ({error.filename or data_dir})"
    else:
        return write_error(error, data_dir)
    return InvalidConfig(f"data_dir {data_dir} {why}", field="data_dir")


async def _open_broker(config: BrokerConfig, seams: Seams, begin: Steps) -> Broker:
    async with AsyncExitStack() as stack:
        begin(lambda: f"the disk, to open {config.data_dir}")
        stack.callback(seams.pools.close)
        directory = await seams.pools.maintenance.run(
            lambda: LogDirectory.open(
                seams.file_system,
                seams.clock,
                config.data_dir,
                broker_id=BrokerId(config.broker_id),
                process_id=seams.process_id,
            )
        )
        stack.push_async_callback(seams.pools.maintenance.run, directory.close)
        is_known = bool(directory.cluster_id)
        begin(lambda: f"{METADATA_FILE}, to be checked and read")
        store = await seams.open_metadata(f"{config.data_dir}/{METADATA_FILE}", is_known)
        stack.push_async_callback(store.close)
        broker = await _build(config, seams, directory, store, begin)
        broker.release_with(stack.pop_all())
        return broker


async def _build(
    config: BrokerConfig,
    seams: Seams,
    directory: LogDirectory,
    store: MetadataStore,
    begin: Steps,
) -> Broker:
    broker_id, pools, tasks = BrokerId(config.broker_id), seams.pools, seams.tasks
    cluster = await ensure_cluster(store, seams.random, seams.clock)
    await pools.maintenance.run(lambda: directory.bind_cluster(cluster.cluster_id))
    leader_epoch = LeaderEpoch(await raise_broker_epoch(store, broker_id))
    catalog = TopicCatalog(store, seams.random, seams.clock, tasks, [broker_id])
    producer_ids = await ProducerIdBlocks.open(store, seams.random)
    directory.identities = producer_ids
    host = PartitionHost(directory, catalog, pools, seams.clock, broker_id, leader_epoch, tasks)
    await catalog.load(host)
    catalog.on_changed(host.topic_changed)
    unclean = len(directory.unclean())
    begin(lambda: f"recovery: {unclean - len(directory.unclean())} of {unclean} partitions done")
    await host.recover()
    begin(lambda: "the offsets of groups, to be read")
    offsets_topic = await _offsets_topic(catalog)
    sizes = TopicSizes(host, directory, seams.clock)
    maintenance = Maintenance(host, seams.clock, tasks, sizes.mark)
    groups = GroupCoordinator(
        OffsetsTopicLog(host, offsets_topic.topic_id, seams.clock),
        HostLogView(catalog, host),
        seams.clock,
        tasks,
    )
    catalog.on_changed(groups.topic_changed)
    for number in range(OFFSETS_PARTITIONS):
        groups.lead(PartitionId(number))
    await groups.loaded()

    refusals, connections = Refusals(seams.clock), Connections(seams.clock)
    sources = _sources(seams, directory)
    sources += [host.problems, maintenance.problems, refusals.problems]
    single = SingleBroker(cluster.cluster_id, sources)
    authorizer = AllowAll()
    services = (
        DataService(
            catalog, host, producer_ids, authorizer, seams.clock, pools.cold_read, refusals.note
        ),
        TopicService(catalog, host, sizes),
        GroupService(groups, catalog, authorizer),
        ClusterService(single, catalog, connections.listed),
    )
    info = BrokerDescription(
        broker_id, "", config.rack, seams.process_id, "", seams.clock.wall_ms(), __version__
    )
    rpcs = [connections.watched(rpc) for each in services for rpc in bound(each, catalog)]
    dispatcher = partial(Dispatcher, rpcs=rpcs, authorizer=authorizer, watch=refusals)
    return Broker(info, dispatcher, host, groups, maintenance, single)


def _sources(seams: Seams, directory: LogDirectory) -> list[Callable[[], Sequence[HealthProblem]]]:
    space = SpaceWatch(
        seams.clock, directory.path, directory.reserve_bytes, seams.file_system.free_bytes
    )
    failures = partial(_failures, seams.tasks)
    return [directory.problems, space.problems, failures, *seams.problems]


def _failures(tasks: BackgroundTasks) -> list[HealthProblem]:
    return [
        HealthProblem(
            "error",
            "BACKGROUND_TASK_FAILED",
            f.name,
            f"work in the background ended unexpectedly ({f.count} times, the last by "
            f"{f.error!r}): a fault in logd, whose traceback stands in the log; what waited for it "
            "was refused. Restart the broker to be sure that the work goes on, and report it",
            f.since_ms,
        )
        for f in tasks.failures()
    ]


async def _offsets_topic(catalog: TopicCatalog) -> Topic:
    try:
        return catalog.by_name(OFFSETS_TOPIC)
    except UnknownTopic:
        return await catalog.create(
            OFFSETS_TOPIC, OFFSETS_PARTITIONS, OFFSETS_TOPIC_CONFIG, internal=True
        )
