"""Bounds what diagnostics say: so many lines a second of each event, then how many were left out.

Who may connect can make a broker say things, and so could fill its disk and hide what matters.
"""

import threading
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog

from logd.model.seams import Clock

EVENTS_A_SECOND_MAX = 10
KEYS_MAX = 100
"""Events told apart; the others of the second share one rate. There are some forty in the code."""
SUPPRESSED = "events left out"

_Key = tuple[str, str]
_OTHERS = "others"


@dataclass(slots=True)
class _Second:
    """What was said of one event since `began_ms`, and how much was not."""

    began_ms: int
    said: int = 0
    left_out: int = 0


class EventRates:
    """A processor of structlog's chain; its lines come from any thread.

    An event is its level and name, of which the code has a fixed number; of what a library says,
    the level and the library, since its texts hold what clients sent.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds: dict[_Key, _Second] = {}
        self._lock = threading.Lock()

    def __call__(
        self, logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """The event, or DropEvent past its rate."""
        if event["event"] != SUPPRESSED and not self._may_say(_key_of(event)):
            raise structlog.DropEvent
        return event

    def _may_say(self, key: _Key) -> bool:
        now_ms = self._clock.monotonic_ms()
        with self._lock:
            if key not in self._seconds and len(self._seconds) >= KEYS_MAX:
                key = (key[0], _OTHERS)
            second = self._seconds.setdefault(key, _Second(now_ms))
            if now_ms - second.began_ms >= 1000:
                second.began_ms, second.said = now_ms, 0
            if second.said < EVENTS_A_SECOND_MAX:
                second.said += 1
                return True
            second.left_out += 1
            return False

    def tell(self) -> None:
        """Say what was left out in seconds that are over, and forget them. To be called often."""
        now_ms = self._clock.monotonic_ms()
        with self._lock:
            over = [key for key, s in self._seconds.items() if now_ms - s.began_ms >= 1000]
            left_out = [(key, self._seconds.pop(key).left_out) for key in over]
        logger = structlog.get_logger()
        for (level, name), count in left_out:
            if count:
                getattr(logger, level)(SUPPRESSED, what=name, count=count)


def _key_of(event: MutableMapping[str, Any]) -> _Key:
    return event["level"], str(event.get("library") or event["event"])
