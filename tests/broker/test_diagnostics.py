"""One form for all that a broker says on stderr, and no records in it."""

import json
import subprocess
import sys

PROGRAM = """
import logging, sys
import structlog
from logd.broker.diagnostics import configure_diagnostics
configure_diagnostics(*sys.argv[1:])
logger = structlog.get_logger()
def handle(record):
    raise ValueError("what went wrong")
logger.debug("fine")
logger.info("hello", partition="orders:0")
try:
    handle("a " + "secret")
except ValueError:
    logger.exception("it failed")
logging.getLogger("asyncio").error("a task %s", "failed")
logging.getLogger("asyncio").info("chatter")
"""


def said(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "secret" not in done.stderr, "the value of a variable"
    return done.stderr


def test_json_lines_off_a_terminal() -> None:
    lines = [json.loads(line) for line in said("info").splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "hello"),
        ("error", "it failed"),
        ("error", "a task failed"),
    ]
    assert lines[0]["partition"] == "orders:0" and lines[0]["timestamp"].endswith("Z")
    assert lines[1]["exception"][0]["exc_value"] == "what went wrong"
    assert lines[2]["library"] == "asyncio"


def test_lines_for_people() -> None:
    text = said("debug", "console")
    assert all(word in text for word in ("fine", "hello", "orders:0", "what went wrong", "asyncio"))


def test_the_level_is_the_least_that_is_said() -> None:
    assert [json.loads(line)["level"] for line in said("error").splitlines()] == ["error"] * 2
