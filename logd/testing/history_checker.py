"""Judges the history of a run: did the log keep its promises?

    history = History()
    ...                                   # the run calls history.acknowledged(...) and so on
    verdict = check_history(history)
    assert verdict.ok, verdict

One checker for kill tests, the simulator and your own tests. It knows nothing of how the log works,
only what clients were told and given, and finds:

- lost: acknowledged, or given to a reader, but not there at the end
- doubled: at more offsets than it was sent for (only with idempotent producers)
- reordered: one producer's records stand in another order than it sent them to the partition
- unseen: in the log, but a reader went past it without being given it
- inconsistent offset: two readers saw different records at one offset, or a receipt names an offset
  at which the record does not stand
- non-monotonic: a reader, watermark or committed offset went back without a rewind
- phantom: there, though no one sent it or its producer was told that it failed

Records that share a payload are told apart as far as their numbers go: each may stand as often as
it was sent. What lies below the final read's start_offset may have been removed and is judged by
what readers saw. Pure, O(n log n); at most FINDINGS_PER_KIND_MAX findings of a kind are spelt out,
all are counted.
"""

import reprlib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from logd.testing.history import Attempt, Delivery, History, Outcome, Payload, Position

FINDINGS_PER_KIND_MAX = 10


class FindingKind(StrEnum):
    """The promises that can be broken, as the module's docstring defines them."""

    LOST = "lost"
    DOUBLED = "doubled"
    REORDERED = "reordered"
    UNSEEN = "unseen"
    INCONSISTENT_OFFSET = "inconsistent offset"
    NON_MONOTONIC = "non-monotonic"
    PHANTOM = "phantom"


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise; `offset` where it shows, None where it would be nowhere."""

    kind: FindingKind
    partition: str
    offset: int | None
    message: str

    def __str__(self) -> str:
        place = self.partition if self.offset is None else f"{self.partition}@{self.offset}"
        return f"{self.kind}: {place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`counts` has every kind that was found; `findings` the first of each, in no more than
    FINDINGS_PER_KIND_MAX. The other numbers say how much was judged: a run without any proves
    nothing."""

    findings: tuple[Finding, ...]
    counts: dict[FindingKind, int]
    outcomes: dict[Outcome, int]
    deliveries: int
    final_records: int

    @property
    def ok(self) -> bool:
        return not self.counts

    def __str__(self) -> str:
        judged = ", ".join(
            f"{self.outcomes.get(outcome, 0)} {outcome.value}" for outcome in Outcome
        )
        found = ", ".join(f"{number} {kind}" for kind, number in self.counts.items()) or "clean"
        lines = [
            f"{found} ({judged}, {self.deliveries} delivered, {self.final_records} at the end)"
        ]
        return "\n  ".join(lines + [str(finding) for finding in self.findings])


def check_history(history: History, *, idempotent: bool = True) -> Verdict:
    """Judge `history`. `idempotent` False: retries may double a record.

    Every partition that was sent to or read needs a final read, else ValueError.
    """
    deliveries = [r for r in history.readings if isinstance(r, Delivery)]
    used = {a.partition for a in history.attempts} | {r.partition for r in history.readings}
    if missing := sorted(used - history.final.keys()):
        raise ValueError(f"the history has no final read of {', '.join(missing[:5])}")
    counts: Counter[FindingKind] = Counter()
    findings: list[Finding] = []
    for finding in _judge(history, deliveries, idempotent):
        counts[finding.kind] += 1
        if counts[finding.kind] <= FINDINGS_PER_KIND_MAX:
            findings.append(finding)
    return Verdict(
        findings=tuple(findings),
        counts=dict(counts),
        outcomes=dict(Counter(attempt.outcome for attempt in history.attempts)),
        deliveries=len(deliveries),
        final_records=sum(len(final.records) for final in history.final.values()),
    )


def _judge(history: History, deliveries: list[Delivery], idempotent: bool) -> Iterator[Finding]:
    attempts_in: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in history.attempts:
        attempts_in[attempt.partition].append(attempt)
    deliveries_in: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        deliveries_in[delivery.partition].append(delivery)
    readings_of: dict[tuple[str, str, bool], list[Delivery | Position]] = defaultdict(list)
    for reading in history.readings:
        if isinstance(reading, Delivery):
            readings_of[reading.partition, reading.reader, True].append(reading)
        else:
            readings_of[reading.partition, reading.subject, reading.reads].append(reading)
    logs: dict[str, _PartitionHistory] = {}
    for partition in sorted(history.final):
        log = logs[partition] = _PartitionHistory(
            history, partition, attempts_in[partition], deliveries_in[partition]
        )
        yield from log.judge(idempotent)
    for (partition, subject, _), readings in sorted(readings_of.items(), key=lambda item: item[0]):
        yield from _judge_readings(subject, readings, logs[partition])


class _PartitionHistory:
    """One partition's attempts against what it held."""

    def __init__(
        self,
        history: History,
        partition: str,
        attempts: list[Attempt],
        deliveries: list[Delivery],
    ) -> None:
        final = history.final[partition]
        self.partition = partition
        self.final_records = final.records
        self.start_offset = final.start_offset
        self.attempts = attempts
        self.deliveries = deliveries
        self.at: dict[int, Payload] = {}
        """The log: the final read, and below its start what readers saw first."""
        for offset, payload in final.records:
            self.at.setdefault(offset, payload)
        for delivery in deliveries:
            if delivery.offset < final.start_offset:
                self.at.setdefault(delivery.offset, delivery.payload)
        self.offsets = sorted(self.at)
        self.offsets_of: dict[Payload, list[int]] = defaultdict(list)
        for offset in self.offsets:
            self.offsets_of[self.at[offset]].append(offset)
        self.attempts_of: dict[Payload, list[Attempt]] = defaultdict(list)
        self.possible: Counter[Payload] = Counter()
        """How often a payload may stand: once for each attempt that did not definitely fail."""
        for attempt in attempts:
            self.attempts_of[attempt.payload].append(attempt)
            self.possible[attempt.payload] += attempt.outcome is not Outcome.FAILED

    def judge(self, idempotent: bool) -> Iterator[Finding]:
        yield from self._final_order()
        yield from self._phantoms()
        yield from self._receipts()
        yield from self._vanished()
        if idempotent:
            yield from self._doubled()
        yield from self._reordered()

    def finding(self, kind: FindingKind, offset: int | None, message: str) -> Finding:
        return Finding(kind, self.partition, offset, message)

    def _final_order(self) -> Iterator[Finding]:
        for (before, _), (offset, payload) in pairwise(self.final_records):
            if offset <= before:
                yield self.finding(
                    FindingKind.NON_MONOTONIC,
                    offset,
                    f"the final read gave {_short(payload)} after offset {before}",
                )

    def _phantoms(self) -> Iterator[Finding]:
        seen = {payload: offsets[0] for payload, offsets in self.offsets_of.items()}
        for delivery in self.deliveries:
            seen.setdefault(delivery.payload, delivery.offset)
        for payload, offset in seen.items():
            if not self.possible[payload]:
                told = "whose append failed" if payload in self.attempts_of else "which no one sent"
                yield self.finding(
                    FindingKind.PHANTOM, offset, f"{_short(payload)} was read, {told}"
                )

    def _receipts(self) -> Iterator[Finding]:
        """Acknowledged records: at their offset, elsewhere, or nowhere."""
        kept = {attempt.offset for attempt in self.attempts if self._stands(attempt)}
        unclaimed: dict[Payload, list[int]] = defaultdict(list)
        for offset in reversed(self.offsets):
            if offset not in kept:
                unclaimed[self.at[offset]].append(offset)
        for attempt in self.attempts:
            if attempt.outcome is not Outcome.ACKNOWLEDGED or self._stands(attempt):
                continue
            if self._may_be_removed(attempt):
                continue
            what = f"{_short(attempt.payload)} of {attempt.producer} was acknowledged"
            elsewhere = unclaimed[attempt.payload]
            if attempt.offset is None:
                if not elsewhere:
                    yield self.finding(FindingKind.LOST, None, f"{what}, but is gone")
            elif elsewhere:
                but = f"but stands at {elsewhere.pop()}"
                yield self.finding(
                    FindingKind.INCONSISTENT_OFFSET, attempt.offset, f"{what}, {but}"
                )
            else:
                yield self.finding(FindingKind.LOST, attempt.offset, f"{what}, but is gone")

    def _may_be_removed(self, attempt: Attempt) -> bool:
        """Retention may have taken it, and no one saw another record in its place."""
        if attempt.offset is None:
            return self.start_offset > 0
        return attempt.offset < self.start_offset and attempt.offset not in self.at

    def _stands(self, attempt: Attempt) -> bool:
        return (
            attempt.outcome is Outcome.ACKNOWLEDGED
            and attempt.offset is not None
            and self.at.get(attempt.offset) == attempt.payload
        )

    def _vanished(self) -> Iterator[Finding]:
        """What readers were given, against the log."""
        receipts = {
            (a.offset, a.payload) for a in self.attempts if a.outcome is Outcome.ACKNOWLEDGED
        }
        told: set[tuple[int, Payload]] = set()
        for reader, _, offset, payload in self.deliveries:
            held = self.at.get(offset)
            if held == payload or (offset, payload) in told or not self.possible[payload]:
                continue
            told.add((offset, payload))
            if held is not None:
                yield self.finding(
                    FindingKind.INCONSISTENT_OFFSET,
                    offset,
                    f"{reader} was given {_short(payload)}, others {_short(held)}",
                )
            elif (offset, payload) not in receipts:
                yield self.finding(
                    FindingKind.LOST,
                    offset,
                    f"{_short(payload)} was given to {reader}, but is gone",
                )

    def _doubled(self) -> Iterator[Finding]:
        for payload, offsets in self.offsets_of.items():
            possible = self.possible[payload]
            if possible and len(offsets) > possible:
                yield self.finding(
                    FindingKind.DOUBLED,
                    offsets[-1],
                    f"{_short(payload)} stands at {offsets[:5]}, but was sent {possible} times",
                )

    def _reordered(self) -> Iterator[Finding]:
        """Only payloads sent once and standing once: of others nobody knows which is which."""
        last: dict[str, tuple[int, int]] = {}
        for offset in self.offsets:
            payload = self.at[offset]
            attempts = self.attempts_of.get(payload, [])
            if len(attempts) != 1 or len(self.offsets_of[payload]) != 1:
                continue
            attempt = attempts[0]
            sequence, before = last.get(attempt.producer, (-1, -1))
            if attempt.sequence <= sequence:
                yield self.finding(
                    FindingKind.REORDERED,
                    offset,
                    f"{_short(payload)} of {attempt.producer} was sent as {attempt.sequence}, "
                    f"but stands after its {sequence} at {before}",
                )
            else:
                last[attempt.producer] = attempt.sequence, offset


def _judge_readings(
    subject: str, readings: list[Delivery | Position], log: _PartitionHistory
) -> Iterator[Finding]:
    """One reader's or watermark's way through one partition."""
    due: int | None = None
    for reading in readings:
        offset, delivered = reading.offset, isinstance(reading, Delivery)
        if isinstance(reading, Position) and reading.rewind:
            due = None
        if due is not None and offset < due:
            what = "was given" if delivered else "was at"
            yield log.finding(
                FindingKind.NON_MONOTONIC, offset, f"{subject} {what} {offset} after {due - 1}"
            )
        elif due is not None and (delivered or (isinstance(reading, Position) and reading.reads)):
            first, end = bisect_left(log.offsets, due), bisect_left(log.offsets, offset)
            if first < end:
                yield log.finding(
                    FindingKind.UNSEEN,
                    log.offsets[first],
                    f"{subject} went from {due} to {offset} past {end - first} records",
                )
        due = offset + 1 if delivered else offset


def _short(payload: Payload) -> str:
    return reprlib.repr(payload)
