"""The cluster's identity, and the number that rises with every start of a broker."""

from logd.model.errors import Conflict, UnsupportedVersion
from logd.model.ids import BrokerId
from logd.model.seams import Clock, Compare, MetadataStore, Put, Random
from logd_replication.metadata_schema import (
    CLUSTER_KEY,
    SCHEMA_VERSION,
    BrokerEpochValue,
    ClusterValue,
    broker_epoch_key,
    decode_value,
    encode_value,
)

CLUSTER_ID_BYTES = 16


async def ensure_cluster(store: MetadataStore, random: Random, clock: Clock) -> ClusterValue:
    """The cluster that this store describes; the first broker to ask makes it.

    Raises UnsupportedVersion if a newer logd wrote the metadata.
    """
    entry = await store.get(CLUSTER_KEY)
    if entry is None:
        value = ClusterValue(random.bytes(CLUSTER_ID_BYTES).hex(), clock.wall_ms())
        await store.transact([Compare(CLUSTER_KEY, 0)], [Put(CLUSTER_KEY, encode_value(value))])
        entry = await store.get(CLUSTER_KEY)  # another broker's, if it came first
        assert entry is not None, "nobody deletes the cluster's key"
    found = decode_value(entry, ClusterValue)
    if found.schema_version > SCHEMA_VERSION:
        raise UnsupportedVersion(
            f"the cluster's metadata has version {found.schema_version}, this logd knows up to "
            f"{SCHEMA_VERSION}; start it with a newer logd",
            version=found.schema_version,
        )
    return found


async def raise_broker_epoch(store: MetadataStore, broker_id: BrokerId) -> int:
    """Raise the broker's epoch in one transaction: the new one, above every earlier one, from 1.

    Called once a start, before the broker appends. Raises Conflict if another process starts as the
    same broker at the same time.
    """
    key = broker_epoch_key(broker_id)
    entry = await store.get(key)
    epoch = 1 if entry is None else decode_value(entry, BrokerEpochValue).epoch + 1
    expected = Compare(key, 0 if entry is None else entry.revision)
    if await store.transact([expected], [Put(key, encode_value(BrokerEpochValue(epoch)))]) is None:
        raise Conflict(
            f"another process is starting as broker {broker_id}; give each its own broker id",
            broker_id=broker_id,
        )
    return epoch
