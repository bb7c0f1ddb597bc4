"""logctl as a process: pipes that close, signals, long input, benchmarks, a dead broker's files."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.broker_process import BrokerProcess
from logd.cli.times import format_time
from logd.sync import Consumer, Producer

pytestmark = pytest.mark.slow

RECORDS = 20_000
TIMEOUT_S = 60
LONG_LINES = 65_536
"""256 MiB of lines of 4 KiB."""

RSS_BYTES_MAX = 192 << 20
"""An interpreter with grpc, the producer's buffer of 64 MiB, and what is being encoded: below the
input's size."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as process:
        logctl(process, "topics", "create", "numbers", "-p", "3")
        lines = b"".join(b"%d\n" % each for each in range(RECORDS))
        logctl(process, "produce", "numbers", stdin=lines)
        yield process


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "logd.cli.main", *words]


def environment(broker: BrokerProcess) -> dict[str, str]:
    return {**os.environ, "LOGD_BOOTSTRAP": broker.address}


def logctl(broker: BrokerProcess, *words: str, stdin: bytes = b"", status: int = 0) -> bytes:
    done = subprocess.run(
        command(*words),
        input=stdin,
        capture_output=True,
        env=environment(broker),
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == status, done.stderr.decode()
    return done.stdout


def started(broker: BrokerProcess, *words: str, **settings: Any) -> subprocess.Popen[bytes]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    return subprocess.Popen(command(*words), env=environment(broker), **pipes)


def test_everything_that_was_produced_is_consumed(broker: BrokerProcess) -> None:
    lines = logctl(broker, "consume", "numbers", "-e").split()
    assert sorted(map(int, lines)) == list(range(RECORDS))


def test_a_broker_is_described_with_who_writes_and_reads(broker: BrokerProcess) -> None:
    logctl(broker, "topics", "create", "tills")
    address = broker.address
    with Producer(bootstrap_servers=address, client_id="till-1") as producer:
        producer.send("tills", b"1").result()
        with Consumer("tills", bootstrap_servers=address, client_id="reader-1") as consumer:
            assert consumer.poll(timeout_ms=TIMEOUT_S * 1000)
            found = json.loads(logctl(broker, "brokers", "describe", "0", "-o", "json"))
    does = {each["client_id"]: each["does"] for each in found["connections"]}
    assert (does["till-1"], does["reader-1"]) == ("write", "read")


def test_a_reader_that_has_enough_ends_logctl_quietly(broker: BrokerProcess) -> None:
    with started(broker, "consume", "numbers") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupted_consumer_commits_what_it_printed(
    broker: BrokerProcess, number: signal.Signals, status: int
) -> None:
    group = f"interrupted-{number.name}"
    with started(broker, "consume", "numbers", "-g", group) as process:
        assert process.stdout is not None and process.stderr is not None
        for _ in range(RECORDS):
            process.stdout.readline()
        process.send_signal(number)
        assert process.stdout.read() == b""
        assert process.wait(20) == status
        assert b"error" not in process.stderr.read()
    lag = json.loads(logctl(broker, "groups", "lag", group, "-o", "json"))["items"]
    assert sum(each["committed"] for each in lag) == RECORDS
    assert sum(each["lag_records"] for each in lag) == 0


def test_an_end_behind_the_log_is_waited_for(broker: BrokerProcess) -> None:
    logctl(broker, "topics", "create", "growing")
    logctl(broker, "produce", "growing", stdin=b"0\n1\n")
    with started(broker, "consume", "growing", "--to", "4", "-g", "growing") as process:
        assert process.stdout is not None
        assert process.stdout.readline() + process.stdout.readline() == b"0\n1\n"
        logctl(broker, "produce", "growing", stdin=b"2\n3\n4\n5\n")
        assert process.stdout.read() == b"2\n3\n"
        assert process.wait(TIMEOUT_S) == 0
    lag = json.loads(logctl(broker, "groups", "lag", "growing", "-o", "json"))["items"]
    assert [each["committed"] for each in lag] == [4]


def test_a_moment_that_has_not_come_is_waited_for(broker: BrokerProcess) -> None:
    logctl(broker, "topics", "create", "timed", "-p", "2")
    logctl(broker, "produce", "timed", stdin=b"before\n")
    end_s = time.time() + 2
    words = ["consume", "timed", "--to", "@" + format_time(round(end_s * 1000)), "-g", "timed"]
    with started(broker, *words) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"before\n"
        assert process.wait(TIMEOUT_S) == 0 and time.time() >= end_s
    logctl(broker, "produce", "timed", stdin=b"after\n")
    logctl(broker, "groups", "reset", "timed", "--all-topics", "--to-earliest", "--execute")
    assert logctl(broker, *words) == b"before\n"


@pytest.mark.parametrize(
    ("words", "away"),
    [("consume t -g g", "killed"), ("consume t -g g", "stopped"), ("produce t -o jsonl", "killed")],
)
def test_ctrl_c_ends_a_command_whose_broker_is_away(tmp_path: Path, words: str, away: str) -> None:
    """One is enough where nobody listens; where a broker is silent, a second one ends the wait."""
    with BrokerProcess(tmp_path) as broker:
        logctl(broker, "topics", "create", "t")
        logctl(broker, "produce", "t", stdin=b"one\n")
        with started(broker, *words.split(), stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None and process.stderr is not None
            process.stdin.write(b"two\n")
            process.stdin.flush()
            assert process.stdout.readline()  # it has begun
            if away == "killed":
                broker.kill()
            else:
                broker.pause()
            process.send_signal(signal.SIGINT)
            if away == "stopped":
                assert b"Ctrl-C again" in process.stderr.readline()
                process.send_signal(signal.SIGINT)
            told = process.stderr.read()
            assert process.wait(TIMEOUT_S) == 130
            if (away, words) == ("killed", "consume t -g g"):
                assert b"interrupted; the last commit of group 'g'" in told


def test_a_producer_with_a_silent_stdin_can_be_interrupted(broker: BrokerProcess) -> None:
    logctl(broker, "topics", "create", "spoken")
    with started(broker, "produce", "spoken", "-o", "jsonl", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"one more\n")
        process.stdin.flush()
        assert b'"offset"' in process.stdout.readline()  # echoed while stdin stays open
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_a_record_that_is_refused_ends_the_input_and_leaves_no_other_untold(
    broker: BrokerProcess,
) -> None:
    logctl(broker, "topics", "create", "refused", "-p", "2")
    words = ["produce", "refused", "--format", "%p %T %v\\n", "-o", "jsonl"]
    with started(broker, *words, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None and process.stderr is not None
        process.stdin.write(b"0 2099-01-01 too late\n1 2025-01-01 fine\n")
        process.stdin.flush()  # and stays open
        assert json.loads(process.stdout.read()) == {
            "topic": "refused",
            "partition": 1,
            "offset": 0,
        }
        told = process.stderr.read().decode()
        assert process.wait(TIMEOUT_S) == 9
        assert "error: 1 record acknowledged; then: the batch with record 1 of the input:" in told
        assert "INVALID_TIMESTAMP" in told


def test_input_passes_through_in_bounded_memory(broker: BrokerProcess, tmp_path: Path) -> None:
    logctl(broker, "topics", "create", "long", "-p", "1", "--config", "durability=page_cache")
    file = tmp_path / "long"
    line = b"x" * 4095 + b"\n"
    with file.open("wb") as stream:
        for _ in range(LONG_LINES // 256):
            stream.write(line * 256)
    with started(broker, "produce", "long", str(file), "-o", "json") as process:
        peak_bytes = 0
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                peak_bytes = max(peak_bytes, psutil.Process(process.pid).memory_info().rss)
            time.sleep(0.02)
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["records"] == LONG_LINES
    assert peak_bytes < RSS_BYTES_MAX


def test_records_pass_from_topic_to_topic_as_json_lines(broker: BrokerProcess) -> None:
    logctl(broker, "topics", "create", "copy")
    rows = logctl(broker, "consume", "numbers", "-o", "jsonl", "-n", "500")
    logctl(broker, "produce", "copy", "--format", "jsonl", stdin=rows)
    copied = logctl(broker, "consume", "copy", "-e", "-o", "jsonl")
    kept = ("timestamp", "key", "value", "headers")
    first, second = (
        [{name: json.loads(row)[name] for name in kept} for row in each.splitlines()]
        for each in (rows, copied)
    )
    assert first == second


@pytest.mark.parametrize(
    ("words", "timed"),
    [
        ("produce --durability page_cache", True),
        ("produce --api batch", True),
        ("consume --records 5000", False),
        ("consume --records 5000 --api batch", True),
        ("latency", True),
        ("e2e --rate 500/s", True),
    ],
)
def test_a_benchmark_measures_and_leaves_nothing(
    broker: BrokerProcess, words: str, timed: bool
) -> None:
    """A machine that does much else may measure nothing in a short time."""
    fixed = ["--warm-up", "50ms", "--value-bytes", "100", "-o", "json"]
    for duration in ("200ms", "2s", "20s"):
        bench = ["bench", *words.split(), "--duration", duration, *fixed]
        row = json.loads(logctl(broker, *bench))
        if row["mb_per_second"]:  # rounded
            break
    assert row["bench"] == words.split()[0] and row["bytes"] == 100 * row["records"] > 0
    assert row["mb_per_second"] > 0 and row["client_cpu_seconds_per_million"] > 0
    assert (row["latency_ms"] is not None) == timed
    if row["bench"] == "e2e":
        assert row["records"] == 100
    names = logctl(broker, "topics", "ls", "-o", "name").decode()
    assert "logctl-bench" not in names


def test_a_benchmark_leaves_a_topic_of_yours_as_it_is(broker: BrokerProcess) -> None:
    short = ["--duration", "100ms", "--warm-up", "0ms", "-o", "json"]
    logctl(broker, "bench", "consume", "numbers", "--durability", "fsync", *short, status=2)
    row = json.loads(logctl(broker, "bench", "consume", "numbers", *short))
    assert row["topic"] == "numbers" and row["records"] > 0
    assert b"numbers" in logctl(broker, "topics", "ls", "-o", "name")


def test_the_files_of_a_dead_broker_can_be_looked_at(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        logctl(broker, "topics", "create", "kept")
        logctl(broker, "produce", "kept", stdin=b"a\nb\n")
        assert broker.stop() == 0
        data = str(broker.data_dir)
        (segment,) = [
            each
            for each in json.loads(logctl(broker, "segments", "ls", data, "-o", "json"))["items"]
            if each["topic"] == "kept"
        ]
        assert (segment["base_offset"], segment["next_offset"], segment["records"]) == (0, 2, 2)
        (batch,) = json.loads(logctl(broker, "segments", "dump", segment["path"], "-o", "json"))[
            "items"
        ]
        assert (batch["records"], batch["state"]) == (2, "ok")
        assert json.loads(logctl(broker, "segments", "verify", data, "-o", "json"))["state"] == "ok"
        with open(segment["path"], "r+b") as file:
            file.seek(batch["bytes"] - 1)
            file.write(b"\x00\xff"[:1] if file.read(1) != b"\x00" else b"\xff")
            file.seek(100)
            file.write(b"\xee" * 8)
        report = json.loads(logctl(broker, "segments", "verify", data, "-o", "json", status=8))
        assert report["state"] == "damaged" and report["findings"]
        shown = logctl(broker, "segments", "dump", segment["path"], "-o", "jsonl", status=8)
        assert b'"damaged"' in shown
        logctl(broker, "segments", "ls", str(tmp_path / "nowhere"), status=2)
