"""Which producer ids were given out: asked by a log, known by the cluster's metadata."""

from typing import Protocol

from logd.model.ids import ProducerEpoch, ProducerId


class ProducerIdentities(Protocol):
    """What a log asks of who gives out producer ids."""

    @property
    def first_id(self) -> ProducerId:
        """Above all ids that were given out before this run, above none that is from now on."""
        ...

    def check(self, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> None:
        """Raises UnknownProducer where this id, or this epoch of it, was never given out."""
        ...


class AnyIdentity:
    """Implements ProducerIdentities for a log that belongs to no cluster: refuses none."""

    first_id = ProducerId(0)

    def check(self, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> None: ...


ANY_IDENTITY = AnyIdentity()
