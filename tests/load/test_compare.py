"""A whole comparison, short: real servers, a client process for each measurement."""

import json
import sys
from pathlib import Path

import compare
import pytest
from rounds import Rounds, Step, System

pytestmark = pytest.mark.slow


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["load/compare", *words])
    return compare.main()


def test_ours_and_the_raw_limit_need_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(compare, "SIZES", {100: 2_000})
    monkeypatch.setattr(compare, "LATENCY_RECORDS", 100)
    out = tmp_path / "out.json"
    words = ["--rounds", "1", "--tasks", "consume,e2e", "--redis", "127.0.0.1:1"]
    words += ["--json", "--out", str(out), "--plots", str(tmp_path)]
    assert run(monkeypatch, *words) == 0
    said = capsys.readouterr()
    rows = {(row["cell"], row["system"]) for row in json.loads(said.out)}
    assert rows == {
        *(("consume 100 B", system) for system in ("logd", "logd, batches", "raw")),
        *(("e2e 100 B", system) for system in ("logd", "raw")),
    }
    assert all(row["median"] > 0 for row in json.loads(said.out))
    assert "skipped nats: no --nats HOST:PORT" in said.err and "skipped redis: " in said.err
    assert (tmp_path / "consume-100-B.svg").exists()
    assert run(monkeypatch, "--from", str(out)) == 0
    assert "| e2e 100 B | logd |" in capsys.readouterr().out


def test_what_cannot_be_measured_is_told() -> None:
    gone = System("gone", "raw_client", "127.0.0.1:1")
    rounds = Rounds([gone], [Step(("produce", "consume"), 100, 100)], print)
    assert rounds.run(1) == []
    assert list(rounds.failures) == ["produce 100 B, gone"]
    assert "refused" in rounds.failures["produce 100 B, gone"]


def test_a_task_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as refused:
        run(monkeypatch, "--tasks", "produce,juggle")
    assert refused.value.code == 2


def test_consume_alone_still_fills_the_topic_first() -> None:
    (step,) = compare.steps(["consume"], [100])
    assert step.tasks == ("produce", "consume") and step.unshown == "produce"
