"""The command line as a whole: help texts (golden), what an import costs, completion."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from harness.logctl_process import commands
from logd import __version__
from logd.cli.main import NOUNS, _place, logctl, run
from logd.main import logd

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"
HEAVY = ("grpc", "google", "rich", "logd_client", "logd_proto", "asyncio", "logd.broker")


@pytest.mark.parametrize("words", commands(), ids=lambda words: "-".join(words) or "logctl")
def test_help_is_as_agreed(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    file = GOLDEN / "help" / ("-".join(words or ["logctl"]) + ".txt")
    if UPDATE:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(shown)
    assert shown == file.read_text()


def test_the_list_of_nouns_says_what_their_own_help_says() -> None:
    context = click.Context(logctl)
    for noun, text in NOUNS.items():
        command = logctl.get_command(context, noun)
        assert command is not None and command.help is not None
        assert command.help.splitlines()[0] == text, noun


@pytest.mark.parametrize("words", commands(), ids=lambda words: "-".join(words) or "logctl")
def test_every_command_has_the_options_that_all_have(words: list[str]) -> None:
    context, command = click.Context(logctl), None
    for word in words:
        above = command or logctl
        assert isinstance(above, click.Group)
        command = above.get_command(context, word)
    if command is not None and not isinstance(command, click.Group):
        assert "output" in {param.name for param in command.params}


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "import logd.cli.main",
        "from logd.cli.main import run; run(['--help'])",
        "from logd.cli.main import run; run(['topics', 'ls', '--help'])",
        "import logd.cli.topics, logd.cli.explain, logd.cli.completion, logd.cli.version",
    ],
)
def test_help_and_completion_import_nothing_heavy(code: str) -> None:
    check = f"import sys; print(); print([m for m in {HEAVY!r} if m in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}; {check}"], capture_output=True, text=True, check=True
    ).stdout
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("logctl to", "topics"),
        ("logctl topics des", "describe"),
        ("logctl topics create --part", "--partitions"),
        ("logctl topics ls -o js", "jsonl"),
        ("logctl completion z", "zsh"),
    ],
)
def test_a_shell_is_told_how_a_word_may_end(typed: str, expected: str) -> None:
    words = typed.split()
    environment = {
        **os.environ,
        "_LOGCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    shown = subprocess.run(
        [sys.executable, "-m", "logd.cli.main"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert expected in [line.split(",")[-1] for line in shown.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_LOGCTL_COMPLETE" in capsys.readouterr().out


def test_the_flag_wins_over_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGD_OUTPUT", "json")
    run(["version"])
    run(["-o", "name", "version"])
    run(["-o", "json", "version", "-o", "jsonl"])
    json_shown, name, jsonl = capsys.readouterr().out.rstrip().rsplit("\n", 2)
    assert json_shown.startswith("{\n") and jsonl.startswith('{"version"')
    assert not name.startswith("{")


def test_both_programs_tell_their_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    logd(["--version"], standalone_mode=False)
    assert capsys.readouterr().out.splitlines() == [f"logctl {__version__}", f"logd {__version__}"]


def test_where_nothing_listens_the_error_comes_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["topics", "ls", "-b", "127.0.0.1:1"]) == 6
    what, where, attempt = capsys.readouterr().err.splitlines()
    assert "no broker can be reached; 127.0.0.1:1: Connection refused" in what
    assert where == "  where: logctl topics ls"
    assert "logd start" in attempt


@pytest.mark.parametrize(
    "line",
    [
        "topics create orders -p 6",
        "-b 127.0.0.1:1 topics create orders",
        "--bootstrap=127.0.0.1:1 -o json topics create orders --timeout 1s",
        "-b127.0.0.1:1 topics create orders",
    ],
)
def test_an_error_names_the_command_wherever_its_options_stand(line: str) -> None:
    assert _place(line.split(), ["logctl"]) == "logctl topics create orders"
