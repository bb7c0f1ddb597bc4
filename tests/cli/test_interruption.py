"""What a first and a second Ctrl-C do to a command, in virtual time."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest

from logd.cli.interruption import TOLD_AFTER_MS, Interruption
from logd.sim.virtual_loop import VirtualLoop


class Command:
    """Runs until it is interrupted; then its last work takes so long."""

    def __init__(self, last_work_ms: int) -> None:
        self.last_work_ms = last_work_ms
        self.notes: list[str] = []
        self.ended: list[int] = []
        self.last_work_done = False

    async def run(self, interrupt: Callable[[Interruption], Awaitable[None]]) -> Interruption:
        task = asyncio.ensure_future(self._work())
        interruption = Interruption(
            task, lambda: "the last commit", self.notes.append, self.ended.append
        )
        with interruption.listening():
            await asyncio.sleep(0)
            await interrupt(interruption)
            with pytest.raises(asyncio.CancelledError):
                await task
        return interruption

    async def _work(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(self.last_work_ms / 1000)
            self.last_work_done = True


def run(command: Command, *times: signal.Signals, raised: bool = False) -> Interruption:
    async def interrupt(interruption: Interruption) -> None:
        for number in times:
            if raised:
                signal.raise_signal(number)
            else:
                interruption.signalled(number)
            await asyncio.sleep(TOLD_AFTER_MS / 2000)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(command.run(interrupt))


@pytest.mark.parametrize("raised", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_lets_it_end_in_order_and_a_short_end_is_quiet(
    number: signal.Signals, raised: bool
) -> None:
    before = signal.getsignal(number)
    command = Command(TOLD_AFTER_MS - 1)
    assert run(command, number, raised=raised).number == number
    assert command.last_work_done
    assert not command.notes and not command.ended
    assert signal.getsignal(number) == before


def test_a_long_end_says_what_it_waits_for() -> None:
    command = Command(TOLD_AFTER_MS + 1)
    run(command, signal.SIGINT)
    assert command.notes == ["interrupted; waiting for the last commit (Ctrl-C again ends at once)"]


def test_the_second_ends_the_process_at_once() -> None:
    command = Command(60_000)
    run(command, signal.SIGINT, signal.SIGINT)
    assert command.ended == [130]


def test_a_terminal_that_goes_says_so_twice_and_the_end_stays_in_order() -> None:
    command = Command(60_000)
    assert run(command, signal.SIGHUP, signal.SIGHUP).number == signal.SIGHUP
    assert command.last_work_done and not command.ended
    command = Command(60_000)
    run(command, signal.SIGHUP, signal.SIGTERM)
    assert command.ended == [143]


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        command = Command(0)

        async def interrupt(interruption: Interruption) -> None:
            signal.raise_signal(signal.SIGHUP)
            await asyncio.sleep(1)
            assert interruption.number is None
            interruption.signalled(signal.SIGINT)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            assert runner.run(command.run(interrupt)).number == signal.SIGINT
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
