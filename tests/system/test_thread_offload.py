import asyncio
import threading

import pytest

from logd.system.thread_offload import ThreadOffload


async def test_work_runs_off_the_loop_and_gives_its_result_or_exception() -> None:
    offload = ThreadOffload("pool", 2)
    assert (await offload.run(lambda: threading.current_thread().name)).startswith("pool")
    with pytest.raises(ZeroDivisionError):
        await offload.run(lambda: 1 // 0)
    offload.close()


async def test_no_more_than_its_workers_run_at_once() -> None:
    offload = ThreadOffload("pool", 2)
    running, most, counting = 0, 0, threading.Lock()
    both = threading.Barrier(2)

    def work() -> None:
        nonlocal running, most
        with counting:
            running += 1
            most = max(most, running)
        both.wait(10)  # passes only where two run side by side
        with counting:
            running -= 1

    await asyncio.gather(*(offload.run(work) for _ in range(8)))
    assert most == 2
    offload.close()


async def test_close_waits_for_running_work_and_refuses_more() -> None:
    offload = ThreadOffload("pool", 1)
    go, done = threading.Event(), threading.Event()

    def work() -> None:
        go.wait(10)
        done.set()

    pending = asyncio.ensure_future(offload.run(work))
    await asyncio.sleep(0)
    go.set()
    offload.close()
    assert done.is_set()
    await pending
    with pytest.raises(RuntimeError):
        await offload.run(lambda: None)
