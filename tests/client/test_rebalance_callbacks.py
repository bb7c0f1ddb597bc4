import asyncio

import pytest

from harness.fake_fetch_broker import FakeFetchBroker
from logd.model.errors import InvalidConfig
from logd_client.consumer import Consumer
from logd_client.rebalance_callbacks import PartitionNames, RebalanceCallbacks

NAMES = [("t", 0)]


async def test_they_run_one_at_a_time_and_in_order() -> None:
    log: list[str] = []

    async def slow(partitions: PartitionNames) -> None:
        log.append("begins")
        await asyncio.sleep(0)
        log.append("ends")

    callbacks = RebalanceCallbacks(slow, lambda _: log.append("revoked"), None, log.append)  # type: ignore[arg-type]
    await asyncio.gather(
        callbacks.call("on_assigned", NAMES),
        callbacks.call("on_revoked", NAMES),
        callbacks.call("on_lost", NAMES),
        callbacks.call("on_revoked", []),
    )
    assert log == ["begins", "ends", "revoked"]
    assert callbacks.are_given and callbacks.has("on_revoked") and not callbacks.has("on_lost")


async def test_a_call_that_gave_up_waiting_for_its_turn_is_not_made() -> None:
    log: list[PartitionNames] = []
    go_on = asyncio.Event()

    async def hang(partitions: PartitionNames) -> None:
        await go_on.wait()

    callbacks = RebalanceCallbacks(hang, log.append, None, lambda error: None)
    hanging = asyncio.ensure_future(callbacks.call("on_assigned", NAMES))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await callbacks.call("on_revoked", NAMES)
    go_on.set()
    await hanging
    assert log == []
    await callbacks.call("on_revoked", NAMES)
    assert log == [NAMES]


async def test_what_they_raise_is_given_on_and_told(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[Exception] = []

    def fail(partitions: PartitionNames) -> None:
        raise ZeroDivisionError("mine")

    callbacks = RebalanceCallbacks(None, None, fail, failures.append)
    await callbacks.call("on_lost", NAMES)
    assert isinstance(failures[0], ZeroDivisionError)
    (record,) = caplog.records
    assert "callback=on_lost" in record.message and "in fail" in record.message


async def test_a_callback_and_what_it_calls_know_that_they_are_one() -> None:
    seen: list[bool] = []

    async def ask(partitions: PartitionNames) -> None:
        seen.append(callbacks.calls_us)
        await asyncio.create_task(ask_beside())

    async def ask_beside() -> None:
        seen.append(callbacks.calls_us)

    callbacks = RebalanceCallbacks(ask, None, None, lambda error: None)
    await callbacks.call("on_assigned", NAMES)
    assert seen == [True, True] and not callbacks.calls_us


async def test_what_cannot_be_called_and_who_is_no_member_is_refused() -> None:
    broker = FakeFetchBroker()
    with pytest.raises(InvalidConfig, match="on_lost is 3"):
        RebalanceCallbacks(None, None, 3, lambda error: None)  # type: ignore[arg-type]
    for given in ({}, {"group_id": "g", "partitions": [0]}):
        with pytest.raises(InvalidConfig, match="callbacks are for members"):
            Consumer("t", transport=broker, on_lost=print, **given)  # type: ignore[arg-type]
