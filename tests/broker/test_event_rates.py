"""So much a second of each event, and nothing that is left out in silence."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from harness.manual_clock import ManualClock
from logd.broker.event_rates import EVENTS_A_SECOND_MAX, KEYS_MAX, EventRates

Event = MutableMapping[str, Any]


class Diagnostics:
    """structlog with nothing in its chain but the rates."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.rates = EventRates(self.clock)
        self.capture = LogCapture()
        structlog.configure([structlog.processors.add_log_level, self.rates, self.capture])
        self.logger = structlog.get_logger()

    def told(self) -> list[Event]:
        told = list(self.capture.entries)
        self.capture.entries.clear()
        return told


@pytest.fixture
def diagnostics() -> Iterator[Diagnostics]:
    yield Diagnostics()
    structlog.reset_defaults()


def test_the_rest_of_a_second_is_counted(diagnostics: Diagnostics) -> None:
    for number in range(EVENTS_A_SECOND_MAX + 7):
        diagnostics.logger.warning("it leaks", number=number)
    assert [e["number"] for e in diagnostics.told()] == list(range(EVENTS_A_SECOND_MAX))
    diagnostics.clock.advance(999)
    diagnostics.rates.tell()
    assert diagnostics.told() == []
    diagnostics.clock.advance(1)
    diagnostics.rates.tell()
    (told,) = diagnostics.told()
    assert (told["event"], told["what"], told["count"]) == ("events left out", "it leaks", 7)
    assert told["log_level"] == "warning"
    diagnostics.rates.tell()
    assert diagnostics.told() == []


def test_the_next_second_begins_anew_and_keeps_the_count(diagnostics: Diagnostics) -> None:
    for _ in range(3):
        for _ in range(EVENTS_A_SECOND_MAX + 1):
            diagnostics.logger.error("it leaks")
        assert len(diagnostics.told()) == EVENTS_A_SECOND_MAX
        diagnostics.clock.advance(1000)
    diagnostics.rates.tell()
    assert [e["count"] for e in diagnostics.told()] == [3]


def test_each_event_and_level_has_a_rate_of_its_own(diagnostics: Diagnostics) -> None:
    for _ in range(EVENTS_A_SECOND_MAX * 2):
        diagnostics.logger.warning("one")
        diagnostics.logger.error("one")
        diagnostics.logger.warning("two")
    assert len(diagnostics.told()) == 3 * EVENTS_A_SECOND_MAX


def test_what_a_library_says_has_one_rate_whatever_it_says(diagnostics: Diagnostics) -> None:
    for number in range(EVENTS_A_SECOND_MAX * 2):
        diagnostics.logger.error(f"bad bytes {number}", library="grpc")
        diagnostics.logger.error(f"task {number}", library="asyncio")
    assert len(diagnostics.told()) == 2 * EVENTS_A_SECOND_MAX


def test_what_is_remembered_is_bounded(diagnostics: Diagnostics) -> None:
    for number in range(KEYS_MAX * 3):
        diagnostics.logger.warning(f"event {number}")
    assert len(diagnostics.told()) == KEYS_MAX + EVENTS_A_SECOND_MAX
    assert len(diagnostics.rates._seconds) == KEYS_MAX + 1
    diagnostics.clock.advance(1000)
    diagnostics.rates.tell()
    assert [e["count"] for e in diagnostics.told()] == [KEYS_MAX * 2 - EVENTS_A_SECOND_MAX]
    assert not diagnostics.rates._seconds
