# mypy: disable-error-code="no-untyped-call, untyped-decorator, union-attr, no-any-return"
# Locust and the stubs are half typed.
"""Users on the generated stubs, a broker for them, and the verdict at the end of the run."""

import json
import os
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

sys.path.append(str(Path(__file__).parents[1]))  # locust knows this folder alone
import gevent
import grpc.experimental.gevent
from leaking_broker import LeakingBroker
from locust import LoadTestShape, User, events
from verdict import Ledger, growth

from logd.dev.demo_broker import DemoBroker
from logd_proto.v1 import data_pb2, data_pb2_grpc, topics_pb2, topics_pb2_grpc

grpc.experimental.gevent.init_gevent()  # before any channel, or calls never return

PARTITIONS = 4
RECORDS = 20
VALUE_BYTES = 100
CALL_TIMEOUT_S = 10.0
DRAIN_BYTES = 1 << 20
BACKLOG_RECORDS = 4_000
WARM_UP_FETCHES = 16
"""Of each partition: a quarter of `day_behind`'s backlog."""
BOUNDS = {
    "broker_anonymous_mib": 16.0,
    "broker_descriptors": 16.0,
    "broker_threads": 4.0,
    "clients_rss_mib": 32.0,
}


class Run:
    """One scenario's broker, topic, ledger and samples."""

    def __init__(self, address: str | None, inject: str, samples_file: str) -> None:
        self._closing = ExitStack()
        self._broker: DemoBroker | None = None
        if not address:
            folder = self._closing.enter_context(tempfile.TemporaryDirectory(prefix="logd-load-"))
            made = LeakingBroker if inject == "growth" else DemoBroker
            self._broker = made(Path(folder))
            self._closing.callback(self._broker.close)
            self._broker.start()
            address = self._broker.address
        channel = self._closing.enter_context(
            grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)])
        )
        self.data = data_pb2_grpc.DataServiceStub(channel)
        self.topic = f"load-{time.time_ns()}"
        request = topics_pb2.CreateTopicRequest(name=self.topic, partitions=PARTITIONS)
        topics_pb2_grpc.TopicServiceStub(channel).CreateTopic(request, timeout=CALL_TIMEOUT_S)
        self.ledger = Ledger()
        self.offsets = [0] * PARTITIONS
        self.samples: list[dict[str, float]] = []
        self.waits_ms: list[float] = []
        """Of produce calls since the last sample."""
        self._inject, self._samples_file = inject, samples_file
        self._sampling: Any = None

    def begin(self) -> None:
        """What was done before is no part of what is judged."""
        self.waits_ms.clear()
        self._sampling = gevent.spawn(self._sample)

    def fetch(self, partition: int, max_bytes: int, max_wait_ms: int) -> int:
        """Reads on, and tells the ledger. Returns the number of records."""
        request = data_pb2.FetchRequest(max_bytes=max_bytes, max_wait_ms=max_wait_ms, min_bytes=1)
        request.topic.name = self.topic
        request.positions.add(partition=partition, offset=self.offsets[partition])
        result = self.data.Fetch(request, timeout=CALL_TIMEOUT_S).results[0]
        if result.HasField("error"):
            raise RuntimeError(str(result.error))
        self.offsets[partition] = result.next_offset
        numbers = [tuple(map(int, r.value.split(b":")[:2])) for r in result.records]
        for producer, number in self._injected(numbers):
            self.ledger.read(producer, number)
        return len(numbers)

    def _injected(self, numbers: list[Any]) -> Iterable[Any]:
        if len(numbers) > 2 and self._inject in ("loss", "disorder"):
            numbers = numbers[:1] + numbers[2:] if self._inject == "loss" else numbers[::-1]
            self._inject = ""
        return numbers

    def _sample(self) -> None:
        """Once a second; a line of JSON each."""
        with open(self._samples_file or os.devnull, "w") as lines:
            while True:
                sample = {"clients_rss_mib": _status("self", "VmRSS") / 1024}
                if self._broker is not None:
                    pid = str(self._broker.pid)
                    sample["broker_anonymous_mib"] = _status(pid, "RssAnon") / 1024
                    sample["broker_descriptors"] = len(os.listdir(f"/proc/{pid}/fd"))
                    sample["broker_threads"] = _status(pid, "Threads")
                sample["lag_records"] = self.lag_records
                if self.waits_ms:
                    sample["produce_ms"] = median(self.waits_ms)
                    self.waits_ms.clear()
                self.samples.append(sample)
                print(json.dumps({"second": len(self.samples), **sample}), file=lines, flush=True)
                gevent.sleep(1)

    @property
    def lag_records(self) -> int:
        return max(0, self.ledger.acknowledged_records - self.ledger.read_records)

    def series(self, name: str) -> list[float]:
        return [sample[name] for sample in self.samples if name in sample]

    def load_backlog(self, mib: int) -> None:
        """So much to read before what the writers write, and out of the page cache."""
        for number in range(0, mib << 10, BACKLOG_RECORDS):
            for partition in range(PARTITIONS):
                producer, begin = -1 - partition, number // PARTITIONS
                end = begin + BACKLOG_RECORDS // PARTITIONS
                self.produce(producer, partition, range(begin, end), 1 << 10)
        if self._broker is None:
            return
        for path in self._broker.directory.rglob("*.log"):
            with path.open("rb") as segment:
                os.posix_fadvise(segment.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def warm_up(self) -> None:
        """Read the beginning of the backlog, all partitions at once: what reading needs for the
        first time (threads, their memory) is no growth; what it keeps of each read later is."""

        def read(partition: int) -> None:
            for _ in range(WARM_UP_FETCHES):
                self.fetch(partition, DRAIN_BYTES, 0)

        gevent.joinall([gevent.spawn(read, each) for each in range(PARTITIONS)], raise_error=True)

    def produce(self, producer: int, partition: int, numbers: range, value_bytes: int) -> None:
        """One call. Raises RuntimeError, or grpc.RpcError: the records' fate is unknown then."""
        request = data_pb2.ProduceRequest(partition=partition)
        request.topic.name = self.topic
        for number in numbers:
            value = b"%d:%d:" % (producer, number)
            request.records.add(value=value.ljust(value_bytes, b"."))
        self.ledger.sending(producer, numbers.start, numbers.stop)
        begin = time.perf_counter()
        answer = self.data.Produce(request, timeout=CALL_TIMEOUT_S)
        if any(receipt.HasField("error") for receipt in answer.receipts):
            raise RuntimeError(str(answer.receipts))
        self.waits_ms.append((time.perf_counter() - begin) * 1000)
        self.ledger.acknowledged(producer, numbers.start, numbers.stop)

    def finish(self) -> list[str]:
        """Reads what is left, ends the broker, and judges."""
        self._sampling.kill()
        try:
            for partition in range(PARTITIONS):
                while self.fetch(partition, DRAIN_BYTES, 100):
                    pass
            found = self.ledger.problems()
        finally:
            self._closing.close()
        for name in BOUNDS if self._broker else ["clients_rss_mib"]:
            found += growth(name, self.series(name), BOUNDS[name])
        return found


def _status(pid: str, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


class LogUser(User):
    abstract = True

    def timed(self, name: str, call: Any) -> Any:
        """The call's result, and a row of locust's table; None if it failed."""
        begin, failure, result = time.perf_counter(), None, None
        try:
            result = call()
        except (grpc.RpcError, RuntimeError) as error:
            failure = error
        self.environment.events.request.fire(
            request_type="logd",
            name=name,
            response_length=0,
            exception=failure,
            response_time=(time.perf_counter() - begin) * 1000,
        )
        return result


class Writer(LogUser):
    abstract = True
    count: ClassVar[int] = 0

    def on_start(self) -> None:
        self.producer, Writer.count = Writer.count, Writer.count + 1
        self.next_number = 0

    def write(self) -> None:
        """RECORDS records to this producer's partition, acknowledged or of unknown fate."""
        run, begin = self.environment.run, self.next_number
        self.next_number = begin + RECORDS
        numbers, partition = range(begin, self.next_number), self.producer % PARTITIONS
        self.timed("produce", lambda: run.produce(self.producer, partition, numbers, VALUE_BYTES))


class Reader(LogUser):
    """One a partition."""

    abstract = True
    fixed_count = PARTITIONS
    count: ClassVar[int] = 0

    def on_start(self) -> None:
        self.partition, Reader.count = Reader.count % PARTITIONS, Reader.count + 1

    def read(self, max_bytes: int = DRAIN_BYTES) -> None:
        run = self.environment.run
        self.timed("fetch", lambda: run.fetch(self.partition, max_bytes, 500))

    def in_second_half(self) -> bool:
        shape = self.environment.shape_class
        return bool(shape.get_run_time() * 2 > self.environment.parsed_options.seconds)


class Phases(LoadTestShape):
    """`writers` in each of equally long phases."""

    abstract = True
    writers: ClassVar[tuple[int, ...]] = ()

    backlog_mib: ClassVar[int] = 0

    @staticmethod
    def unexpected(run: Run) -> list[str]:
        """What speed the scenario demands, asked before what is left is read."""
        return []

    def tick(self) -> tuple[int, float] | None:
        part = self.get_run_time() / self.runner.environment.parsed_options.seconds
        if part >= 1:
            return None
        return self.writers[int(part * len(self.writers))] + PARTITIONS, 100


@events.init_command_line_parser.add_listener
def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--inject", choices=["", "loss", "disorder", "growth"], default="")
    parser.add_argument("--untimed", action="store_true", help="judge no speed")
    parser.add_argument("--samples", default="", help="JSON lines, one a second")


@events.init.add_listener
def _begin(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    environment.run = Run(options.host, options.inject, options.samples)
    if backlog_mib := environment.shape_class.backlog_mib:
        environment.run.load_backlog(backlog_mib)
        environment.run.warm_up()
    environment.run.begin()


@events.quitting.add_listener
def _judge(environment: Any, **_: Any) -> None:
    run = environment.run
    timed = not environment.parsed_options.untimed
    found = environment.shape_class.unexpected(run) if timed else []
    found += run.finish()
    if failures := environment.stats.total.num_failures:
        found.append(f"{failures} calls failed")
    for problem in found[:20]:
        print(f"FAILED: {problem}", file=sys.stderr)
    told, read = run.ledger.acknowledged_records, run.ledger.read_records
    print(f"{'failed' if found else 'passed'}: {told} acknowledged, {read} read", file=sys.stderr)
    environment.process_exit_code = 1 if found else 0
