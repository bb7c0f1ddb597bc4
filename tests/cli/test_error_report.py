import io

import click
import pytest

from logd.cli.error_report import (
    BadUsage,
    ErrorReport,
    Misnamed,
    NotFound,
    PartialFailure,
    near_names,
)
from logd.cli.main import run
from logd.model.errors import ERRORS, InvalidName, LogdError, StorageFull, TopicExists, UnknownTopic

PLACE = "logctl topics describe"


def report(error: BaseException) -> ErrorReport:
    return ErrorReport.of(error, PLACE)


@pytest.mark.parametrize("reason", ERRORS)
def test_every_reason_becomes_three_lines_and_its_exit_status(reason: str) -> None:
    stream = io.StringIO()
    found = report(ERRORS[reason]("it failed", topic="orders"))
    found.print(stream)
    what, where, attempt = stream.getvalue().splitlines()
    assert what == f"error: it failed ({reason})"
    assert where == "  where: logctl topics describe [topic orders]"
    assert attempt.startswith("  try: ") and len(attempt) > 20
    assert found.exit_status == ERRORS[reason].exit_status


def test_a_name_that_is_not_there_comes_with_one_that_is() -> None:
    found = report(Misnamed(UnknownTopic("no topic 'ordrs'"), ["orders"]))
    assert found.where.endswith("; did you mean 'orders'?")
    assert found.exit_status == 3


def test_nothing_is_said_twice_and_the_hint_stands_in_the_second_line() -> None:
    told = UnknownTopic("no topic 'ordrs'; did you mean 'orders'?", topic="ordrs", epoch=7)
    found = report(Misnamed(told, ["ordres"]))
    assert found.what == "no topic 'ordrs' (UNKNOWN_TOPIC)"
    assert found.where == f"{PLACE} [epoch 7]; did you mean 'orders'?"


def test_a_topic_that_differs_in_case_is_not_the_one_that_if_not_exists_accepts() -> None:
    told = TopicExists(
        "topic 'T' exists, and 't' differs from it only in case", topic="T", hint="T"
    )
    assert report(told).attempt == "use 'T', or choose a name that differs in more than case"
    assert "--if-not-exists" in report(TopicExists("topic 'T' exists", topic="T")).attempt


def test_partial_work_is_told_and_has_a_status_of_its_own() -> None:
    found = report(PartialFailure("3 records acknowledged", StorageFull("the disk is full")))
    assert found.what == "3 records acknowledged; then: the disk is full (STORAGE_FULL)"
    assert found.exit_status == 9


def test_a_reason_of_a_newer_broker_is_unexpected_but_told() -> None:
    found = report(LogdError("NEW_REASON: something new"))
    assert (found.what, found.exit_status) == ("NEW_REASON: something new", 1)


def test_an_unexpected_error_names_its_place_without_a_traceback() -> None:
    try:
        raise RuntimeError("boom\nbang")
    except RuntimeError as error:
        found = report(error)
    stream = io.StringIO()
    found.print(stream)
    assert found.exit_status == 1
    assert len(stream.getvalue().splitlines()) == 3
    assert "unexpected RuntimeError: boom\\nbang" in stream.getvalue()


def test_a_file_that_cannot_be_read_is_usage() -> None:
    found = report(PermissionError(13, "Permission denied", "/secret"))
    assert (found.what, found.exit_status) == ("Permission denied: /secret", 2)


def test_what_is_not_there_says_what_else_is() -> None:
    found = report(NotFound("no broker 7", attempt="logctl brokers ls", instead=["1"]))
    assert (found.exit_status, found.attempt) == (3, "logctl brokers ls")


def test_a_usage_error_may_say_what_to_try() -> None:
    assert report(BadUsage("no", attempt="so")).attempt == "so"
    assert report(click.UsageError("No such thing.")).what == "no such thing"


def test_near_names_ignore_case_and_keep_spelling() -> None:
    assert near_names("ORDRS", ["Orders", "payments"]) == ["Orders"]
    assert near_names("zzz", ["Orders"]) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("topcs ls", "did you mean 'logctl topics'?"),
        ("topics lst", "did you mean 'logctl topics ls'"),
        ("topics create t --partitons 3", "did you mean '--partitions'?"),
        ("topics ls -o jso", "did you mean 'json'"),
        ("produce t --compression zst", "did you mean 'zstd'?"),
        ("topics create bad/name", "letters, digits"),
        ("topics create " + "x" * 250, "at most 249"),
        ("topics set t retention", "name=value"),
        ("topics ls -b nowhere", "HOST:PORT"),
        ("topics ls -b ::1:9600", "write [::1]:9600"),
        ("-b a:1;b:2 topics ls", "write a:1,b:2, with commas"),
        ("consume t --from erliest", "did you mean 'earliest'"),
        ("consume t --grep (", "no regular expression"),
        ("consume t --format %x", "%T"),
        ("consume t -p 4-2", "no range"),
        ("consume t:0 -p 1", "give one"),
        ("consume a b:1 -p 1", "give one"),
        ("consume t:", "write 0,2-4"),
        ("consume t:4-2", "no range"),
        ("consume :0", "letters, digits"),
        ("produce t:0 -p 0", "give one"),
        ("produce t:0,1", "no single partition"),
        ("produce t --format %k", "must end with"),
        ("produce t --rate 10", "60000/s"),
        ("groups reset g --to-earliest", "which partitions"),
        ("groups reset g --all-topics", "exactly one of"),
        ("groups reset g --all-topics --to-earliest --to-latest", "exactly one of"),
        ("explain NOT_LEADR", "did you mean 'NOT_LEADER'?"),
    ],
)
def test_a_mistyped_command_line_is_usage_with_a_hint(
    line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
    assert [part.split(":")[0] for part in shown.err.splitlines()] == ["error", "  where", "  try"]


def test_the_rule_for_names_is_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert InvalidName.exit_status == run(["groups", "lag", ".."]) == 2
    assert "is no group name" in capsys.readouterr().err


def test_brokers_of_the_environment_are_read_like_those_of_the_command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGD_BOOTSTRAP", "::1:9600")
    assert run(["topics", "ls"]) == 2
    assert "write [::1]:9600" in capsys.readouterr().err
