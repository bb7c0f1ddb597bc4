"""What happened in a run, as its clients saw it: the input of `logd.testing.history_checker`."""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

Payload = str | bytes | int
"""A record's fingerprint. The checker sees more the fewer records share one: a number in each
value, or a hash of key and value, is best."""


class Outcome(Enum):
    """What a producer was told."""

    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    """Definitely not in the log: refused, or never sent."""
    UNKNOWN = "unknown"
    """An error with outcome_unknown, or the producer did not live to hear."""


class Attempt(NamedTuple):
    """A record that a producer was asked to send, retries included.

    `sequence` counts in the order of the sends, per producer and partition. `offset` is that of the
    receipt; None where it named none.
    """

    producer: str
    partition: str
    sequence: int
    payload: Payload
    outcome: Outcome
    offset: int | None


class Delivery(NamedTuple):
    """A record that a reader was given."""

    reader: str
    partition: str
    offset: int
    payload: Payload


class Position(NamedTuple):
    """A number that may only rise, unless `rewind`.

    `subject` is a reader (`reads`: the next offset it will be given) or a name for what was
    watched, such as 'high watermark' or 'committed by billing'.
    """

    subject: str
    partition: str
    offset: int
    rewind: bool
    reads: bool


class FinalRead(NamedTuple):
    """What one partition held in the end: its records in order, from `start_offset`."""

    partition: str
    start_offset: int
    records: tuple[tuple[int, Payload], ...]


class History:
    """Records a run. Call each method when the thing happens; only the order per reader, and per
    subject, counts. A partition is named as you like, for example 'orders:3'.

    A consumer that starts again from its committed offset has `rewound` there. Name a reader after
    its group, and a partition's way through all the group's consumers is judged as one.
    """

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.readings: list[Delivery | Position] = []
        self.final: dict[str, FinalRead] = {}

    def acknowledged(
        self, producer: str, partition: str, sequence: int, payload: Payload, offset: int | None
    ) -> None:
        outcome = Outcome.ACKNOWLEDGED
        self.attempts.append(Attempt(producer, partition, sequence, payload, outcome, offset))

    def failed(self, producer: str, partition: str, sequence: int, payload: Payload) -> None:
        outcome = Outcome.FAILED
        self.attempts.append(Attempt(producer, partition, sequence, payload, outcome, None))

    def unknown(self, producer: str, partition: str, sequence: int, payload: Payload) -> None:
        outcome = Outcome.UNKNOWN
        self.attempts.append(Attempt(producer, partition, sequence, payload, outcome, None))

    def delivered(self, reader: str, partition: str, offset: int, payload: Payload) -> None:
        self.readings.append(Delivery(reader, partition, offset, payload))

    def rewound(self, reader: str, partition: str, offset: int) -> None:
        """The reader starts, or goes on, from `offset`, wherever it was."""
        self.readings.append(Position(reader, partition, offset, rewind=True, reads=True))

    def reached(self, reader: str, partition: str, offset: int) -> None:
        """The reader says that `offset` is the next it will be given."""
        self.readings.append(Position(reader, partition, offset, rewind=False, reads=True))

    def observed(self, subject: str, partition: str, offset: int, *, rewind: bool = False) -> None:
        """A watermark or a committed offset was `offset`; `rewind` where it was set on purpose."""
        self.readings.append(Position(subject, partition, offset, rewind, reads=False))

    def finally_read(
        self, partition: str, records: Iterable[tuple[int, Payload]], start_offset: int = 0
    ) -> None:
        """All that the partition holds when everything is over, in the order it was read."""
        self.final[partition] = FinalRead(partition, start_offset, tuple(records))
