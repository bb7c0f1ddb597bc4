"""A record in a worker's hands, and what shall become of it."""

from typing import TYPE_CHECKING, NamedTuple

from logd.model.errors import InvalidConfig
from logd_client.record import Record

if TYPE_CHECKING:
    from logd_client.core.record_window import Delivery

RETRY_DELAY_S_MAX = 86_400


class Retry(NamedTuple):
    """Hand it out again after `delay_ms`; meanwhile its lane waits if `hold_order`."""

    delay_ms: int
    hold_order: bool


class Park(NamedTuple):
    """Put it aside, into its topic's parked topic, and go on."""

    reason: str
    error: BaseException | None


class WorkRecord(Record, frozen=True, gc=True):
    """A record of `Consumer.records`. `attempt` is 1 when it is handed out first, and counts on
    through restarts. What is said last counts, once the worker asks for the next record; where
    nothing is said, the record is done."""

    attempt: int = 1
    _delivery: "Delivery | None" = None

    def retry(self, delay_s: float = 1.0, *, hold_order: bool = True) -> None:
        """Hand it out again after `delay_s`. With `hold_order` the records of its key (or
        partition, as `order` says) wait for it; else they go on. Raises InvalidConfig."""
        if not 0 <= delay_s <= RETRY_DELAY_S_MAX:
            raise InvalidConfig(f"delay_s is 0 to {RETRY_DELAY_S_MAX}", field="delay_s")
        self._say(Retry(round(delay_s * 1000), hold_order))

    def park(self, reason: str | BaseException) -> None:
        """Put it aside: it is written to "TOPIC.parked", with the reason in its headers, and is
        done here."""
        error = reason if isinstance(reason, BaseException) else None
        self._say(Park(str(reason) if error is None else "", error))

    def skip(self) -> None:
        """It is done, whatever was said of it before."""
        self._say(None)

    def _say(self, verdict: Retry | Park | None) -> None:
        if self._delivery is not None:
            self._delivery.verdict = verdict
