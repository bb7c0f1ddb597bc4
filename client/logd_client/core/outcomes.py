"""The errors that unacknowledged records end in, which say whether their outcome is known."""

from logd.model.errors import DeliveryTimeout, LogdError, OutOfOrderSequence, UnknownTopic
from logd_client.core.producer_batch import ProducerBatch


def with_outcome(error: LogdError, *, unknown: bool) -> LogdError:
    """The same error, saying whether the records may have been written all the same."""
    copy = error.__class__.__new__(error.__class__)
    LogdError.__init__(copy, error.message, **error.details)
    copy.outcome_unknown = unknown
    if unknown:
        copy.details["outcome"] = "unknown"
    return copy


def state_lost(batch: ProducerBatch, given_up: DeliveryTimeout | None) -> LogdError:
    """The error of a batch in doubt that cannot be sent again under its number: the time of one
    before it was up, or the partition no longer knows the number."""
    what = (
        f"a batch of {batch.record_count} records for topic '{batch.topic}' partition "
        f"{batch.partition} was sent, and "
    )
    where = {"topic": batch.topic, "partition": batch.partition}
    if given_up is not None:
        return DeliveryTimeout(
            f"{what}whether it was written cannot be found out any more: the time of one before it "
            "was up, and only in their order can they be sent again",
            **where,
        )
    return OutOfOrderSequence(
        f"{what}the broker no longer knows whether it was written: the producer's state there was "
        "lost",
        **where,
    )


def topic_lost(batch: ProducerBatch) -> LogdError:
    """The error of a batch in doubt whose topic is gone, though another has its name."""
    return UnknownTopic(
        f"topic '{batch.topic}' was deleted and created again while a batch of "
        f"{batch.record_count} records was on its way to it",
        topic=batch.topic,
    )


def expired(batch: ProducerBatch, delivery_timeout_ms: int) -> LogdError:
    """The error of a batch whose time is up."""
    what = "was sent, but not acknowledged" if batch.in_doubt else "could not be written"
    return DeliveryTimeout(
        f"a batch of {batch.record_count} records for topic '{batch.topic}' partition "
        f"{batch.partition} {what} within delivery_timeout_ms={delivery_timeout_ms}",
        topic=batch.topic,
        partition=batch.partition,
    )
