"""Commands whose stdin, stdout or stderr is closed, full, or read by nobody."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from harness.logctl_process import TIMEOUT_S, Ended, commands, run_logctl
from logd.cli.main import run
from logd.cli.standard_output import standard_output

FULL = "/dev/full"
pytestmark = pytest.mark.skipif(not Path(FULL).exists(), reason="this system has no /dev/full")
OF_A_BROKER = (
    "topics ls",
    "topics describe t",
    "topics create new -o json",
    "partitions offsets t -o yaml",
    "groups ls -o wide",
    "cluster info",
    "cluster health -o jsonl",
    "brokers ls",
    "consume t -e",
    "consume t -e -o json",
    "consume t --from latest -e -o table",
    "produce t -o json",
    "bench latency --duration 1ms --warm-up 0ms",
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as process:
        run_logctl("topics", "create", "t", address=process.address)
        run_logctl("produce", "t", address=process.address, stdin=b"one\ntwo\n")
        yield process


def shell(line: str, address: str = "", program: str = "logd.cli.main") -> Ended:
    """A command line with redirections, as a shell runs it."""
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m {program} {line}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, "LOGD_BOOTSTRAP": address},
        timeout=TIMEOUT_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr.decode())


def full(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of a command whose stdout is full."""
    descriptor = os.open(FULL, os.O_WRONLY)
    with os.fdopen(descriptor, "wb", 0), standard_output(descriptor, sys.stdout) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        status = run(line.split())
        with open(os.devnull, "wb") as nothing:  # takes what the disk did not
            os.dup2(nothing.fileno(), descriptor)
    return status


@pytest.mark.parametrize("line", [
    *(" ".join([*words, "--help"]) for words in commands()), "--version", "version", "explain",
    "explain NOT_LEADER -o json", "completion bash",
])  # fmt: skip
def test_a_full_disk_is_told(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert full(line, monkeypatch) == 7
    what, where, attempt = capsys.readouterr().err.splitlines()
    assert what == "error: stdout cannot be written: No space left on device"
    assert where.startswith("  where: logctl") and "free space" in attempt


@pytest.mark.slow
@pytest.mark.parametrize("line", OF_A_BROKER)
def test_a_full_disk_is_told_by_what_talks_to_a_broker(
    line: str,
    broker: BrokerProcess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LOGD_BOOTSTRAP", broker.address)
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert full(line, monkeypatch) == 7
    assert "stdout cannot be written: No space left on device" in capsys.readouterr().err


@pytest.mark.slow
def test_what_a_full_disk_did_not_take_is_not_committed(broker: BrokerProcess) -> None:
    ended = shell(f"consume t -e -g full >{FULL}", broker.address)
    assert (ended.status, len(ended.stderr.splitlines())) == (7, 3)
    told = run_logctl("consume", "t", "-e", "-g", "full", address=broker.address)
    assert told.stdout == b"one\ntwo\n"


@pytest.mark.slow
def test_what_was_acknowledged_is_told_where_its_echo_fails(broker: BrokerProcess) -> None:
    run_logctl("topics", "create", "echoed", address=broker.address)
    ended = shell(f"produce echoed /etc/passwd -o jsonl >{FULL}", broker.address)
    assert ended.status == 9
    assert "acknowledged; then: stdout cannot be written: No space left" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "status", "told"),
    [
        ("explain >&-", 2, "stdout is closed"),
        ("--help >&-", 2, "stdout is closed"),
        ("consume t -e >&-", 2, "stdout is closed"),
        ("produce t </dev/null >&-", 0, ""),
        ("produce t <&-", 2, "stdin is closed"),
        ("produce t /proc/self/mem", 2, "the input cannot be read: Input/output error"),
        ("produce t -o jsonl <&- >&-", 2, "stdin is closed"),
        ("topics delete t <&-", 2, "this needs --yes"),
        ("topics delete t 2>&-", 2, ""),
        (f"topics delete t 2>{FULL}", 2, ""),
        ("topics ls -b 127.0.0.1:1 >&- 2>&- <&-", 6, ""),
        ("consume t --no-such 2>&-", 2, ""),
    ],
)
def test_a_closed_stream_is_told_where_it_is_needed(
    line: str, status: int, told: str, broker: BrokerProcess
) -> None:
    ended = shell(line, broker.address)
    assert (ended.status, ended.stdout) == (status, b"")
    assert len(ended.stderr.splitlines()) == (3 if told else 0)
    assert told in ended.stderr


@pytest.mark.slow
def test_the_other_program_tells_it_too(tmp_path: Path) -> None:
    for line, status in ((f"--version >{FULL}", 7), (f"--help >{FULL}", 7), ("--help >&-", 2)):
        ended = shell(line, program="logd.main")
        assert (ended.status, len(ended.stderr.splitlines())) == (status, 3)
    start = f"start --listen 127.0.0.1:0 --log-level error --data-dir {tmp_path} >{FULL}"
    ended = shell(start, program="logd.main")
    assert ended.status == 7 and "stdout cannot be written" in ended.stderr


@pytest.mark.slow
def test_a_reader_that_is_gone_ends_help_quietly() -> None:
    for program in ("logd.cli.main", "logd.main"):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([sys.executable, "-m", program, "--help"], stdout=writing,
                              stderr=subprocess.PIPE, timeout=TIMEOUT_S, check=False)  # fmt: skip
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, b"")


def test_an_output_that_another_made_non_blocking_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream = standard_output(writing, sys.stdout)
    text = "x" * (1 << 20)  # more than a pipe holds
    read: list[bytes] = []

    def read_all() -> None:
        with os.fdopen(reading, "rb") as file:
            read.append(file.read())

    reader = threading.Thread(target=read_all)
    reader.start()
    stream.write(text)
    stream.flush()
    os.close(writing)
    reader.join()
    assert read == [text.encode()]
