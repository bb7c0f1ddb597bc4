import json

import pytest

from logd.cli.explain import explanation
from logd.cli.main import run
from logd.cli.remedies import REMEDIES, remedy
from logd.model.errors import ERRORS


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
