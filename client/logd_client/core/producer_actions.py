"""What a producer's session asks its shell to do."""

from dataclasses import dataclass

from logd.model.ids import ProducerEpoch, ProducerId
from logd_client.core.producer_batch import ProducerBatch
from logd_client.core.topic_lanes import TopicLanes

Identity = tuple[ProducerId, ProducerEpoch]


@dataclass(frozen=True, slots=True)
class Settled:
    """A batch's outcome is final: complete its future, release its bytes."""

    batch: ProducerBatch


@dataclass(frozen=True, slots=True)
class GetIdentity:
    """Ask for an identity: a new one, or `raised` by one epoch."""

    raised: Identity | None


@dataclass(frozen=True, slots=True)
class RefreshTopic:
    """Ask for the topic's metadata; answer with topic_refreshed or topic_failed."""

    topic: TopicLanes


@dataclass(frozen=True, slots=True)
class BreakStream:
    """The stream no longer answers: close it, then report stream_broken."""

    why: str


Action = Settled | GetIdentity | RefreshTopic | BreakStream
