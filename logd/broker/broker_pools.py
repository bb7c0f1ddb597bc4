"""The broker's bounded pools for blocking work, one a purpose so that none starves another."""

from dataclasses import dataclass

from logd.model.seams import Offload


@dataclass(frozen=True, slots=True)
class BrokerPools:
    """flush: fdatasync. cold_read: disk reads for clients, and decoding. maintenance: opening,
    recovery, retention, removal. metadata: the metadata store."""

    flush: Offload
    cold_read: Offload
    maintenance: Offload
    metadata: Offload

    def close(self) -> None:
        for pool in (self.flush, self.cold_read, self.maintenance, self.metadata):
            pool.close()
