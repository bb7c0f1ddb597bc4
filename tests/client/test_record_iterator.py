"""A consumer that has nothing to read, or nobody to read from."""

import asyncio

import pytest

from harness.fake_fetch_broker import FakeFetchBroker
from harness.virtual_time import in_virtual_time
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_clock import SimulatedClock
from logd_client.consumer import Consumer

AWAY_S = 700


@pytest.mark.slow
def test_reading_outlasts_a_broker_that_stays_away_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(clock: SimulatedClock) -> None:
        loop, broker = asyncio.get_running_loop(), FakeFetchBroker()
        broker.create_topic("t", 1)
        broker.down = True  # already when it starts
        consumer = Consumer("t", transport=broker, random=SeededRandom(), clock=clock)
        reading = asyncio.ensure_future(anext(aiter(consumer)))
        assert await consumer.poll(timeout_ms=0) == await consumer.poll(timeout_ms=9_000) == []
        await asyncio.sleep(AWAY_S)
        told = [line for line in caplog.messages if line.startswith("no_answer_yet for_s=")]
        assert told[0].startswith("no_answer_yet for_s=5 tries=127.0.0.1:9600 error=")
        assert 6 < len(told) < 10
        broker.down = False
        broker.append("t", 0, [b"0"])
        before_s = loop.time()
        assert (await reading).offset == 0
        assert loop.time() - before_s < 1
        assert caplog.messages[-1].startswith("answered_again after_s=7"), "its end is told, too"
        reading = asyncio.ensure_future(anext(aiter(consumer)))
        broker.down = True
        broker.break_streams()
        await asyncio.sleep(AWAY_S)
        assert not reading.done() and await consumer.poll(timeout_ms=1_000) == []
        assert 2 * len(told) <= len(caplog.messages) <= 2 * len(told) + 2
        broker.down = False
        broker.append("t", 0, [b"1"])
        before_s = loop.time()
        assert (await reading).offset == 1
        assert loop.time() - before_s < 1
        await consumer.close()

    with caplog.at_level("WARNING", "logd_client"):
        in_virtual_time(work)


def test_a_worker_without_a_broker_may_hear_its_signals_and_ends_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(clock: SimulatedClock) -> None:
        loop, broker = asyncio.get_running_loop(), FakeFetchBroker()
        broker.create_topic("t", 1)
        broker.down = True
        async with Consumer("t", transport=broker, clock=clock, group_id="g") as consumer:
            assert loop.time() < 4, "no broker, but it goes on"
            assert await consumer.poll(timeout_ms=500) == []
            broker.down = False
            broker.append("t", 0, [b"0"])
            assert [each.offset for each in await consumer.poll(timeout_ms=5_000)] == [0]
            broker.down = True
            broker.break_streams()
        assert caplog.messages[-1].startswith("commit_on_close_failed error=")

    with caplog.at_level("WARNING", "logd_client"):
        in_virtual_time(work)


async def test_an_iterator_survives_waits_that_were_given_up() -> None:
    broker = FakeFetchBroker()
    broker.create_topic("t", 1)
    async with Consumer("t", transport=broker, fetch_max_wait_ms=20) as consumer:
        records, batches = aiter(consumer), consumer.batches()
        for number in range(30):
            for waiting in (anext(records), anext(batches)):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(waiting, 0.0001)
            broker.append("t", 0, [b"x"])
            if number % 2:
                assert (await anext(records)).offset == number
            else:
                assert (await anext(batches)).base_offset == number
