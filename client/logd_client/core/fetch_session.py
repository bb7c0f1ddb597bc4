"""What the broker has been told of a consumer's positions, and what to tell it next."""

from typing import NamedTuple

from logd_client.core.partition_position import PartitionPosition

REQUESTS_OUTSTANDING_MAX = 4
"""One, and a few more where seeks interrupt it; a broker takes 16."""

EARLY_EMPTY_BACKOFF_MS = 50
"""Pause after an empty answer that came before its time: a broker that drains answers so."""


class Upsert(NamedTuple):
    """A position to tell the broker."""

    topic_id: bytes
    partition: int
    offset: int


class FetchPlan(NamedTuple):
    """One request on the stream."""

    correlation_id: int
    upserts: list[Upsert]
    forgets: list[tuple[bytes, int]]


class FetchSession:
    """Remembers which partitions changed since the last request: a request costs what changed. What
    an answer brought is no change: the broker has moved those positions on itself.

    Correlation ids rise over reconnects. `restart` is the start of a new stream: the broker knows
    nothing then.
    """

    def __init__(self, max_wait_ms: int) -> None:
        self._early_ms = max(max_wait_ms // 2, 10)
        self._changed: dict[PartitionPosition, None] = {}
        self._retrying: dict[PartitionPosition, None] = {}
        self._urgent = False
        self._sent = 0
        self._in_session = 0
        self._asked_ms = 0
        self._not_before_ms = 0
        self._part_came = False
        self.outstanding = 0
        """Requests whose answer has not come, or not all of it."""

    def restart(self) -> None:
        """Nothing is outstanding, and the broker knows no position."""
        for each in self._changed:
            each.in_session = False
        self.outstanding = 0
        self._in_session = 0
        self._not_before_ms = 0
        self._part_came = False

    def touch(self, position: PartitionPosition) -> None:
        """It changed, and answers to what was sent so far say nothing of it any more. Worth
        interrupting a request that waits, or that goes on to push what it found before."""
        position.sent_in = 0
        self._changed[position] = None
        self._urgent = True

    def retry_later(self, position: PartitionPosition, at_ms: int) -> None:
        """Take it out of the session until `at_ms`."""
        position.retry_at_ms = at_ms
        self._retrying[position] = None
        self.touch(position)

    @property
    def wants_request(self) -> bool:
        """Whether one is due as soon as there is room for its answer."""
        return self._urgent or not self.outstanding

    def is_current(self, position: PartitionPosition, correlation_id: int) -> bool:
        """Whether an answer to this request speaks of the position as it is now."""
        return 0 < position.sent_in <= correlation_id

    def next_request(self, now_ms: int) -> FetchPlan | None:
        """The request that is due, or None. The caller has room for its answer and sends it."""
        self._end_retries(now_ms)
        if not self.wants_request:
            return None
        if self.outstanding >= REQUESTS_OUTSTANDING_MAX or now_ms < self._not_before_ms:
            return None
        correlation_id = self._sent + 1
        upserts: list[Upsert] = []
        gone: dict[tuple[bytes, int], None] = {}
        for each in self._changed:
            if each.fetchable:
                self._in_session += not each.in_session
                each.in_session, each.sent_in = True, correlation_id
                upserts.append(Upsert(each.topic_id, each.partition, each.fetch_offset))
            elif each.in_session:
                self._in_session -= 1
                each.in_session = False
                gone[each.topic_id, each.partition] = None
        self._changed.clear()
        self._urgent = False
        for told in upserts:  # it was taken away, and came back
            gone.pop((told.topic_id, told.partition), None)
        forgets = list(gone)
        if not self._in_session and not forgets:
            return None
        self._sent = correlation_id
        self.outstanding += 1
        self._asked_ms = now_ms
        return FetchPlan(correlation_id, upserts, forgets)

    def answered(self, *, empty: bool, more: bool, throttle_ms: int, now_ms: int) -> None:
        """One request got its answer, or with `more` a part of it that is not the last."""
        empty, self._part_came = empty and not self._part_came, more
        if more:
            return
        self.outstanding -= 1
        pause_ms = throttle_ms
        early = now_ms - self._asked_ms < self._early_ms
        if empty and early and not self.outstanding:
            pause_ms = max(pause_ms, EARLY_EMPTY_BACKOFF_MS)
        self._not_before_ms = now_ms + pause_ms if pause_ms else self._not_before_ms

    def next_due_ms(self, now_ms: int) -> int | None:
        """When `next_request` is worth asking again although nothing happens until then."""
        due = [at.retry_at_ms for at in self._retrying if at.retry_at_ms is not None]
        due.append(self._not_before_ms)
        return min((at_ms for at_ms in due if at_ms > now_ms), default=None)

    def _end_retries(self, now_ms: int) -> None:
        for each in list(self._retrying):
            if each.retry_at_ms is None or each.retry_at_ms <= now_ms:
                del self._retrying[each]
                if each.retry_at_ms is not None:
                    each.retry_at_ms = None
                    self.touch(each)
