"""Every command against a real broker, in a pipe and on a terminal, held to golden transcripts.

`UPDATE_GOLDEN=1 pytest tests/cli/test_transcripts.py` writes them anew; read the difference.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from harness.logctl_transcript import in_pipe, in_terminal

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"
LINES = "one\ntwo\nthree\n"
LARGE = "x" * 5000

Typed = tuple[str, str]
"""A command, and what its stdin gives."""

CHAPTERS: dict[str, list[str | Typed]] = {
    "cluster": [
        "logctl cluster info",
        "logctl cluster info -o yaml",
        "logctl cluster health",
        "logctl brokers ls",
        "logctl brokers ls -o wide",
        "logctl brokers describe 0",
        "logctl brokers describe 7",
        "logctl topics ls",
        "logctl groups ls",
        "logctl topics ls -o json",
    ],
    "topics": [
        "logctl topics create orders -p 4 --config retention_ms=1h30m",
        "logctl topics create orders",
        "logctl topics create orders --if-not-exists -o name",
        "logctl topics create dry --validate-only -o name",
        "logctl topics create bad --config retention=1d",
        "logctl topics create bad --config retention_ms=soon",
        "logctl topics create bad -r 3",
        "logctl topics ls",
        "logctl topics ls -o wide",
        "logctl topics ls -o jsonl",
        "logctl topics describe orders",
        "logctl topics describe orders -o json",
        "logctl topics describe ordrs",
        "logctl topics set orders retention_ms=2h durability=page_cache -o name",
        "logctl topics set orders durability=maybe",
        "logctl topics add-partitions orders --total 5 --validate-only -o name",
        "logctl topics add-partitions orders --total 5 --yes",
        "logctl topics add-partitions orders --total 2 --yes",
        "logctl topics delete orders --validate-only",
        "logctl topics delete orders --yes",
        "logctl topics delete orders --yes",
    ],
    "records": [
        "logctl topics create lines -p 1 -o name",
        ("logctl produce lines", LINES),
        ("logctl produce lines -k k -H h=1 --timestamp 2025-03-01T12:00:00 -o jsonl", "four\n"),
        ("logctl produce lines --format '%k:%v\\n' -o json", "a:five\nb:six\n"),
        ("logctl produce lines --format '%k:%v\\n'", "c:seven\nno colon\n"),
        ("logctl produce lines --format jsonl", '{"value_b64": "/w==", "key": null}\n'),
        ("logctl produce lines --compression lz4 --acks leader --rate 1000/s", "eight\n"),
        ("logctl produce lines -p 3", "x\n"),
        ("logctl produce lines --timestamp 1960-01-01", "x\n"),
        ("logctl produce lines --format jsonl", '{"value": "x", "timestamp": -1}\n'),
        ("logctl produce lines --format jsonl", '{"value": "x", "timestamp": 1.5}\n'),
        ("logctl produce lines --format jsonl", '{"value": "x", "timestamp": 9223372036854775808}'),
        "logctl topics create small --config message_bytes_max=4096 -o name",
        ("logctl produce small -o jsonl", f"a\nb\n{LARGE}\nc\n"),
        ("logctl produce small -o jsonl -H h=1", f"a\n{LARGE}\nc\n"),
        ("logctl produce small --format jsonl", f'{{"value": "a"}}\n\n{{"value": "{LARGE}"}}\n'),
        ("logctl produce small", f"{LARGE}\n"),
        ("logctl produce small --format '%p:%v\\n' -o jsonl", "0:a\n7:b\n"),
        ("logctl produce lnes", "x\n"),
        ("logctl produce lines --format raw", "\x1b[2Jraw\n\n"),
        "logctl consume lines -e",
        "logctl consume lines -e -n 2 --format '%t:%p@%o %k=%v %h %T\\n'",
        "logctl consume lines --from -2 -e -o jsonl",
        "logctl consume lines --from 3 --to 5 -o json",
        "logctl consume lines --from 3 --to 5 -o yaml",
        "logctl consume lines --from 3 -n 1 -o wide",
        "logctl consume lines --from latest -e",
        "logctl consume lines --from -1 --to 99 -e",
        "logctl consume lines --from -1 --to @2099-01-01 -e",
        "logctl consume lines --from 99 -e",
        "logctl consume lines --from @2099-01-01 -e",
        "logctl consume lines --to 2 -e",
        "logctl consume lines:0 lines:0 --from -1 -e",
        "logctl consume lines:0 -p 0 -e",
        "logctl consume lines:0,7 -e",
        "logctl consume lines small -p 0 --from latest -e",
        "logctl consume small:0 --from -1 -e --format '%t:%p@%o\\n'",
        ("logctl produce lines:0 -o jsonl", "by place\n"),
        ("logctl produce lines:1", "nowhere\n"),
        "logctl consume lines --from @-1h --to end --grep 'o$' -o name",
        "logctl consume lines -e --key k --header h=1",
        "logctl consume lines -e -p 7",
        "logctl consume lnes -e",
        "logctl consume lines -e -n 0",
        "logctl partitions ls lines",
        "logctl partitions ls lines -o name",
        "logctl partitions describe lines:0",
        "logctl partitions describe lines:1",
        "logctl partitions describe lines",
        "logctl partitions offsets lines",
        "logctl partitions offsets lines --at @2020-01-01",
        "logctl partitions offsets lines:0 --at @now -o json",
        "logctl topics create past -p 1 -o name",
        ("logctl produce past --timestamp 2025-03-01T12:00:00", "first\n"),
        ("logctl produce past --timestamp 2025-03-02T12:00:00", "second\n"),
        ("logctl produce past --timestamp 2025-03-03T12:00:00", "third\n"),
        "logctl consume past --from @2025-03-02 -e",
        "logctl consume past --from @2025-03-02 --to @2025-03-03 --by record-time",
        "logctl consume past --from @2025-03-02 --to @2025-03-03 --by append-time",
        "logctl consume past --from @2025-03-02 --by record-time -e",
        "logctl consume past --from @2025-03-02 --by none -e",
        "logctl partitions offsets past --at @2025-03-02 --by record-time",
        "logctl topics truncate past --before @2025-03-02 --by record-time --validate-only",
        "logctl topics truncate lines --before 2 --validate-only",
        "logctl topics truncate lines:0 --before 2 --yes",
        "logctl consume lines -n 1 --format '%o %v\\n'",
    ],
    "groups": [
        "logctl topics create jobs -p 2 -o name",
        ("logctl produce jobs -p 0", LINES),
        ("logctl produce jobs -p 1", LINES),
        "logctl groups lag billing",
        "logctl consume jobs -g billing -p 0 -n 2",
        "logctl consume jobs -g billing -e --no-commit -p 0",
        "logctl groups lag billing",
        "logctl consume jobs -g billing -e --format '%p %v\\n' -p 0",
        "logctl consume jobs -g billing -e --from latest -p 1",
        "logctl groups members billing",
        "logctl groups why billing",
        "logctl groups why billing -o json",
        "logctl groups lag -o wide",
        "logctl groups lag -o name",
        "logctl groups lag biling",
        "logctl groups reset billing --all-topics --to-earliest",
        "logctl groups reset billing --topic jobs:0 --to-offset 99",
        "logctl groups reset billing --topic jobs:1 --to-offset 0",
        "logctl groups reset billing --topic jobs --shift-by -1 --execute",
        "logctl groups reset billing --all-topics --to-datetime 2020-01-01T00:00:00",
        "logctl groups reset billing --all-topics --by-duration 1h -o name",
        "logctl groups reset billing --all-topics --to-latest -o name",
        "logctl groups reset billing --all-topics --to-current -o name",
        "logctl groups reset billing --all-topics --to-datetime 2020-01-01 --by record-time",
        "logctl groups reset billing --all-topics --to-latest --by record-time",
        "logctl groups reset billing --topic past --to-datetime 2025-03-02 --by record-time",
        "logctl groups reset billing --topic past --to-datetime 2025-03-02",
        "logctl groups reset biling --topic jobs --to-earliest",
        "logctl groups reset biling --topic jobs --to-earliest --execute",
        "logctl groups reset copy --all-topics --to-group billing --create -o name",
        "logctl groups reset copy --all-topics --to-group billing --create --execute -o name",
        "logctl groups reset billing --topic nojobs --to-earliest",
        "logctl consume jobs -g billing -e --format '%p %v\\n' -p 0",
        "logctl groups undo billing",
        "logctl groups undo billing --execute -o json",
        "logctl groups undo billing --execute",
        "logctl groups history billing",
        "logctl groups delete copy --validate-only",
        "logctl groups delete copy",
        "logctl groups delete copy --yes",
        "logctl groups delete nobody --yes",
    ],
    "plain": [
        "logctl version -o name",
        "logctl explain NOT_LEADER",
        "logctl explain unknown-topic -o yaml",
    ],
}

ON_TERMINAL: list[str | Typed] = [
    "logctl topics create shown -p 2",
    "logctl topics create shown",
    ("logctl produce shown -k k", "hello\n\x04"),
    "logctl topics ls",
    "logctl partitions ls shown",
    "logctl consume shown -e -g viewers",
    "logctl groups lag viewers",
    "logctl groups reset viewers --all-topics --to-earliest",
    ("logctl topics add-partitions shown --total 3", "shown\n"),
    ("logctl topics delete shown", "shwn\n"),
    ("logctl topics delete shown", "shown\n"),
    "logctl topics describe shown",
    "logctl cluster health",
    "logctl brokers ls -o json",
]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path / "broker") as process:
        yield process


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGD_OUTPUT", "COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def hold(name: str, transcript: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if UPDATE:
        file.write_text(transcript)
    assert transcript == file.read_text()


@pytest.mark.slow
def test_in_a_pipe(broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGD_BOOTSTRAP", broker.address)
    differing = []
    for chapter, commands in CHAPTERS.items():
        transcript = ""
        for each in commands:
            command, typed = each if isinstance(each, tuple) else (each, "")
            transcript += f"$ {command}\n{in_pipe(command, typed.encode())}\n"
        try:
            hold(f"pipe-{chapter}", transcript)
        except AssertionError as difference:
            differing.append(f"{chapter}: {difference}")
    assert not differing, "\n".join(differing)


@pytest.mark.slow
def test_on_a_terminal(broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGD_BOOTSTRAP", broker.address)
    transcript = ""
    for each in ON_TERMINAL:
        command, typed = each if isinstance(each, tuple) else (each, "")
        transcript += f"$ {command}\n{in_terminal(command, typed)}\n"
    hold("terminal", transcript)
