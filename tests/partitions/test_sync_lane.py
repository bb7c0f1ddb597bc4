"""A slow log holds nobody else up: through the flusher, which has two lanes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from harness.flusher_bench import FlusherBench, flusher_bench
from harness.stepped_offload import settle
from logd_partitions import sync_lane as sync_lane_module
from logd_partitions.sync_lane import QUICK_SYNC_MS_MAX, SYNCS_AT_ONCE_MAX


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FlusherBench]:
    monkeypatch.setattr(sync_lane_module, "QUICK_SYNC_MS_MAX", 60_000)
    async with flusher_bench() as made:
        yield made


async def test_a_log_is_published_when_its_own_sync_is_done(bench: FlusherBench) -> None:
    a, b = bench.log("a"), bench.log("b")
    await bench.sync_once(a, b)
    bench.append(b)
    bench.append(a)
    await bench.offload.step(1)
    assert bench.trace == ["sync b", "synced b 2"]
    bench.append(a)
    bench.append(b)
    await settle()
    assert len(bench.offload.waiting) == 1, "the next round waits for this one"
    await bench.offload.step()
    await bench.offload.step()
    assert (a.synced, b.synced) == (3, 3)


async def test_a_round_does_not_wait_long_for_its_slowest(
    bench: FlusherBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_lane_module, "QUICK_SYNC_MS_MAX", 1)
    slow, b = bench.log("slow"), bench.log("b")
    await bench.sync_once(slow, b)
    bench.append(slow)
    bench.append(b)
    await settle()
    stuck = bench.offload.waiting.pop(0)
    for _ in range(3):
        bench.append(slow)
        await bench.step_until(lambda: b.synced == b.end)
        bench.append(b)
    assert "sync slow" not in bench.trace, "one thread at a time syncs a log"
    bench.offload.waiting.append(stuck)
    await bench.offload.step()
    assert slow.synced == 2
    await bench.step_until(lambda: slow.synced == slow.end)


async def test_logs_known_to_be_slow_have_threads_of_their_own(bench: FlusherBench) -> None:
    slow = [bench.log(str(number)) for number in range(3 * SYNCS_AT_ONCE_MAX)]
    for log in slow:
        log.sync_ms = QUICK_SYNC_MS_MAX + 1
    quick = bench.log("quick")
    quick.sync_ms = QUICK_SYNC_MS_MAX
    await bench.sync_once(quick, *slow)
    for log in slow:
        bench.append(log)
    await settle()
    stuck, bench.offload.waiting = bench.offload.waiting, []
    assert len(stuck) == SYNCS_AT_ONCE_MAX
    for number in range(2, 5):
        bench.append(quick)
        await bench.offload.step()
        assert quick.synced == number
    fresh = bench.log("fresh")
    bench.append(fresh)
    await settle()
    assert not bench.offload.waiting, "who was never synced is not yet known to be quick"
    bench.offload.waiting = stuck
    await bench.step_until(lambda: fresh.synced == 1)
    assert all(log.synced == 2 for log in slow)


async def test_a_log_that_has_become_quick_leaves_the_slow(bench: FlusherBench) -> None:
    slow, other = bench.log("slow"), bench.log("other")
    slow.sync_ms = other.sync_ms = QUICK_SYNC_MS_MAX + 1
    await bench.sync_once(slow, other)
    other.sync_ms = 0
    await bench.sync_once(other)
    bench.append(slow)
    bench.append(other)
    await settle()
    bench.offload.waiting = bench.offload.waiting[::-1]
    await bench.offload.step(1)
    bench.append(other)
    await bench.offload.step(2)
    assert (slow.synced, other.synced) == (2, 4)


async def test_the_last_free_thread_is_not_given_everything(
    bench: FlusherBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_lane_module, "QUICK_SYNC_MS_MAX", 1)
    for number in range(SYNCS_AT_ONCE_MAX):
        bench.append(bench.log(f"first {number}"))
    await settle()
    assert len(bench.offload.waiting) == SYNCS_AT_ONCE_MAX
    for number in range(3 * SYNCS_AT_ONCE_MAX):
        bench.append(bench.log(f"later {number}"))
    await asyncio.sleep(0.005)
    await bench.offload.step(1)
    bench.trace.clear()
    stuck, bench.offload.waiting = bench.offload.waiting[:-1], bench.offload.waiting[-1:]
    await bench.offload.step()
    assert sum(line.startswith("sync ") for line in bench.trace) == 3
    bench.offload.waiting += stuck
