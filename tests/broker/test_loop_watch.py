"""Stalls of the loop are seen, and nothing else is."""

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from logd.broker import loop_watch
from logd.broker.loop_watch import LoopWatch


async def until(condition: object, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.001)


async def test_a_stall_is_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_watch, "TICK_MS", 1)
    watch = LoopWatch()
    with capture_logs() as logs:
        watch.start()
        time.sleep(0.06)
        await until(lambda: watch.stalls)
        watch.stop()
    assert watch.longest_stall_ms >= 50
    assert logs[0]["stalls"] == 1 and logs[0]["stall_ms"] >= 50


async def test_a_loop_that_runs_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_watch, "TICK_MS", 1)
    monkeypatch.setattr(loop_watch, "STALL_MS_MAX", 60_000)
    watch = LoopWatch()
    watch.start()
    first = watch._due
    await until(lambda: watch._due > first)
    watch.stop()
    assert (watch.stalls, watch.longest_stall_ms) == (0, 0.0)


async def test_stopped_it_ticks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = LoopWatch()
    watch.stop()
    watch.start()
    watch.stop()
    watch.stop()
    assert watch._timer is None
