"""What a producer's session asks its shell to do."""

import msgspec

from logd.model.ids import NO_PRODUCER, ProducerEpoch, ProducerId
from logd_client.core.producer_batch import ProducerBatch
from logd_client.core.topic_lanes import TopicLanes

Identity = tuple[ProducerId, ProducerEpoch]

NO_IDENTITY: Identity = (NO_PRODUCER, ProducerEpoch(-1))


class Settled(msgspec.Struct, frozen=True):
    """A batch's outcome is final: complete its future, release its bytes."""

    batch: ProducerBatch


class GetIdentity(msgspec.Struct, frozen=True):
    """Ask for an identity: a new one, or `raised` by one epoch."""

    raised: Identity | None


class RefreshTopic(msgspec.Struct, frozen=True):
    """Ask for the topic's metadata; answer with topic_refreshed or topic_failed."""

    topic: TopicLanes


class BreakStream(msgspec.Struct, frozen=True):
    """The stream no longer answers: close it, then report stream_broken."""

    why: str


Action = Settled | GetIdentity | RefreshTopic | BreakStream
