"""Every task and thread that broker, SDK and command line start, read from the sources.

What nobody awaits is started by `BackgroundTasks`, so that its unexpected end is told. All else
stands here, with who waits for it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("logd", "partitions", "replication", "consumer_groups", "client")
NOT_SHIPPED = ("logd/sim/", "logd/dev/", "logd/testing/")
ONE_WAY = "logd/system/background_tasks.py"
STARTS = {
    "create_task",
    "ensure_future",
    "run_coroutine_threadsafe",
    "run_in_executor",
    "start_new_thread",
    "Process",
    "Task",
    "TaskGroup",
    "Thread",
    "ThreadPoolExecutor",
    "Timer",
}

AWAITED = {
    "client/logd_client/arrow_replay.py ArrowReplay._wait": "the thread that pulls waits for it",
    "client/logd_client/batch_compressor.py BatchCompressor._has_thread": "a fault ends one batch, "
    "which goes uncompressed",
    "client/logd_client/flight_transport.py _Opening._exchange": "joined",
    "client/logd_client/flight_transport.py _Opening.opened": "it tells the loop how it ended",
    "client/logd_client/consumer_fetcher.py ConsumerFetcher._use": "its end wakes `_use`, which "
    "awaits it",
    "client/logd_client/group_session.py GroupSession._use": "its end wakes `_use`, which awaits "
    "it",
    "client/logd_client/parallel_records.py ParallelRecords.for_each": "it awaits them",
    "client/logd_client/sync/parallel_records.py ParallelRecords.for_each": "the same",
    "client/logd_client/sync/callback_thread.py in_a_thread.call": "it tells the loop how it ended",
    "client/logd_client/sync/loop_thread.py LoopThread.__init__": "joined",
    "client/logd_client/sync/loop_thread.py LoopThread.run": "the thread that calls waits for it",
    "logd/broker/broker_process.py _open": "only tells; cancelled when the start is over",
    "logd/broker/doors/flight_door/flight_server.py FlightServer.stop": "awaited, within a bound",
    "logd/broker/doors/flight_door/flight_server.py _Listener._ask": "its thread waits for it",
    "logd/broker/doors/flight_door/flight_server.py _Listener._exchange": "joined",
    "logd/broker/doors/flight_door/flight_server.py _Serving.start": "the client hears of its end",
    "logd/broker/doors/grpc_door/fetch_stream.py FetchStream.run": "its end wakes `run`, which "
    "raises it",
    "logd/broker/doors/grpc_door/produce_stream.py ProduceStream.run": "its end wakes `run`, which "
    "awaits it",
    "logd/broker/doors/grpc_door/session_stream.py SessionStream.run": "awaited, or cancelled",
    "logd/system/stop_signals.py StopSignals.listen": "its end is the process's",
    "logd/system/stop_signals.py _end": "joined, within a bound",
    "logd/system/thread_offload.py ThreadOffload.__init__": "its work is awaited in `run`",
    "logd/system/thread_offload.py ThreadOffload.run": "awaited",
    "logd/cli/bench_run.py BenchRun._produce_for": "a TaskGroup",
    "logd/cli/bench_run.py BenchRun.e2e": "awaited, or cancelled",
    "logd/cli/record_sender.py RecordSender.send_input": "a TaskGroup",
}
"""Path and function -> who waits for what is started there, and so is told."""


def starts(path: Path) -> Iterator[str]:
    """The functions of a module that start something."""

    def walk(node: ast.AST, where: tuple[str, ...]) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            inner = where
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = (*where, child.name)
            if isinstance(child, ast.Call):
                name = getattr(child.func, "attr", None) or getattr(child.func, "id", None)
                if name in STARTS:
                    yield ".".join(where)
            yield from walk(child, inner)

    yield from walk(ast.parse(path.read_text()), ())


def found() -> set[str]:
    places = set()
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name != ONE_WAY and not name.startswith(NOT_SHIPPED):
                places |= {f"{name} {where}" for where in starts(path)}
    return places


def test_what_nobody_awaits_is_started_in_one_way() -> None:
    unknown = found() - AWAITED.keys()
    assert not unknown, "start it by BackgroundTasks, or say in AWAITED who awaits it"


def test_the_list_is_that_of_today() -> None:
    assert AWAITED.keys() <= found(), "what is started there no more"


def test_starts_are_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "import asyncio\n"
        "async def forgotten():\n"
        "    def inner():\n"
        "        asyncio.create_task(work())\n"
        "class Reader:\n"
        "    def go(self): self.thread = Thread(target=f); asyncio.sleep(1)\n"
        "loop.create_task(work())\n"
    )
    assert list(starts(module)) == ["forgotten.inner", "Reader.go", ""]
