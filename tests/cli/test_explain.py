import json
import re
from pathlib import Path

import pytest

from logd.cli.explain import explanation
from logd.cli.health_reasons import HEALTH_REASONS
from logd.cli.main import run
from logd.cli.remedies import REMEDIES, remedy
from logd.model.errors import ERRORS

ROOT = Path(__file__).parents[2]


def test_every_reason_has_a_remedy_and_no_other_has() -> None:
    assert set(REMEDIES) == set(ERRORS)


def test_a_reason_of_a_newer_broker_gets_general_advice() -> None:
    assert "cluster health" in remedy("NEVER_HEARD_OF")


@pytest.mark.parametrize("reason", ERRORS)
def test_every_reason_is_explained(reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", reason.lower().replace("_", "-"), "-o", "json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row == explanation(reason)
    assert row["meaning"].endswith((".", "?")) and len(row["meaning"]) > 20


def test_all_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "-o", "name"]) == 0
    assert capsys.readouterr().out.split() == list(ERRORS)


def test_what_health_alone_tells_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    told = re.compile(r'(?:_report|_add|HealthProblem)\((?:\s*"\w+",)?\s*"([A-Z_]+)"')
    sources = [*ROOT.glob("logd/broker/*.py"), *ROOT.glob("partitions/logd_partitions/**/*.py")]
    reasons = {found for path in sources for found in told.findall(path.read_text("utf-8"))}
    assert {"CLOCK_LEAPT", "POSSIBLE_LOSS", "ORPHANED"} <= reasons, "the pattern finds them"
    assert reasons - ERRORS.keys() <= HEALTH_REASONS.keys()
    for reason in HEALTH_REASONS:
        assert run(["explain", reason]) == 0
        assert HEALTH_REASONS[reason][1] in capsys.readouterr().out
