"""Reading with several threads at once."""

import contextlib
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from logd.model.errors import ClientClosed
from logd_client import parallel_records
from logd_client.parallel_records import WorkerRecords
from logd_client.work_record import WorkRecord

T = TypeVar("T")


class Runs(Protocol):
    """Runs a coroutine on the loop thread, and waits for it."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T: ...


class ParallelRecords:
    """As `logd_client.parallel_records.ParallelRecords`, for threads."""

    def __init__(self, records: parallel_records.ParallelRecords, run: Runs) -> None:
        self._records = records
        self._run = run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def __iter__(self) -> Iterator[WorkRecord]:
        """For one thread: each takes an iterator of its own."""
        worker = WorkerRecords(self._records)
        while (record := self._run(worker.next())) is not None:
            yield record

    def for_each(self, handle: Callable[[WorkRecord], object]) -> None:
        """Call `handle(record)` for each record, in so many threads at once, without end.

        As in asyncio; but an exception that ends it is raised once the other calls that had begun
        are over.
        """
        count = self._records.workers.concurrency

        def work() -> None:
            for record in self:
                try:
                    handle(record)
                except Exception as error:
                    if self._records.workers.max_attempts is None:
                        self._on_loop(self._records.stop)
                        raise
                    self._records.failed(record, error)

        try:
            with ThreadPoolExecutor(count, thread_name_prefix="logd-handler") as pool:
                workers = [pool.submit(work) for _ in range(count)]
                try:
                    over, _ = wait(workers, return_when=FIRST_EXCEPTION)
                finally:
                    self._on_loop(self._records.stop)
        finally:
            self.end()
        for worker in over:
            worker.result()

    def end(self) -> None:
        """Hand out nothing more, and let the next read begin with what is not done."""
        self._on_loop(self._records.end)

    def _on_loop(self, method: Callable[[], None]) -> None:
        async def call() -> None:
            method()

        with contextlib.suppress(ClientClosed):
            self._run(call())
