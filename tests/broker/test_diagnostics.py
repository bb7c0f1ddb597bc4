"""One form for all that a broker says on stderr, bounded, and no records in it."""

import ast
import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging, sys
import structlog
from logd.broker.diagnostics import configure_diagnostics
from logd.system.system_clock import SystemClock
configure_diagnostics(sys.argv[1], (sys.argv[2:] or ["auto"])[0], SystemClock())
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


HOSTILE = """
import contextlib, gc, logging, sys, threading, traceback
import grpc.aio, structlog
from google.protobuf.message import DecodeError
from logd.broker.diagnostics import configure_diagnostics
from logd.broker.printed_lines import PrintedLines
from logd.system.system_clock import SystemClock
configure_diagnostics(sys.argv[1], (sys.argv[2:] or ["auto"])[0], SystemClock())
library = logging.getLogger("grpc._cython.cygrpc")
ODD = chr(27) + "[2J" + chr(10) + "x" * 100_000
class Odd:
    def __str__(self): return ODD
    def __del__(self): raise ValueError(ODD)
for number in range(1000):
    library.error("Invalid encoding on %s", ODD)
try:
    raise grpc.aio.InternalError("Failed execute_batch")
except grpc.aio.InternalError:
    library.exception("raised in core by servicer method")
try:
    raise DecodeError("wrong wire type")
except DecodeError:
    library.exception("raised by servicer method")
def fails():
    error = ExceptionGroup("several", [ValueError(ODD)] * 100)
    error.add_note(ODD)
    raise error
try:
    fails()
except ExceptionGroup:
    structlog.get_logger().exception("it failed", error=ODD, odd=Odd())
def in_a_thread():
    raise ValueError(ODD)
with contextlib.redirect_stderr(PrintedLines()):
    thread = threading.Thread(target=in_a_thread, name="worker")
    thread.start()
    thread.join()
    del thread
    gc.collect()
    for number in range(1000):
        print("printed", number, ODD, file=sys.stderr)
"""


def said(*arguments: str, program: str = PROGRAM) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=30
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
    assert "\x1b" not in text, "colours in a file"
    assert all(word in text for word in ("fine", "hello", "orders:0", "what went wrong", "asyncio"))


def test_the_level_is_the_least_that_is_said() -> None:
    assert [json.loads(line)["level"] for line in said("error").splitlines()] == ["error"] * 2


def test_what_clients_make_it_say_is_bounded() -> None:
    text = said("info", "json", program=HOSTILE)
    lines = [json.loads(line) for line in text.splitlines()]
    events = [line["event"] for line in lines]
    assert not {event for event in events if "servicer method" in event}, "clients' doings"
    assert sum(event.startswith("Invalid encoding") for event in events) <= 40, "10 a second"
    assert {"it failed", "a thread ended unexpectedly", "an exception had nobody to tell"} <= {
        *events
    }
    assert all(len(event) < 600 for event in events)
    assert max(map(len, text.splitlines())) < 40_000, "an exception group, 10 of its 100"
    printed = [line for line in lines if line.get("library") == "stderr"]
    assert printed and len(printed) <= 40 and {line["level"] for line in printed} == {"warning"}


def test_a_terminal_is_shown_no_control_characters_of_clients() -> None:
    text = said("info", "console", program=HOSTILE)
    assert chr(27) + "[2J" not in text and "[2Jx" not in text.replace("\\x1b[2J\\nx", "")
    assert len(text) < 200_000


def test_events_have_names_of_the_codes_own() -> None:
    """Their number is fixed then, and so is what `EventRates` remembers."""
    root = Path(__file__).parents[2]
    packages = ("logd", "partitions", "replication", "consumer_groups")
    levels = {"debug", "info", "warning", "error", "exception", "critical"}
    found = 0
    for path in (path for package in packages for path in (root / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=value, attr=attr), args=[event, *_]) if (
                    attr in levels and ast.unparse(value).endswith("logger")
                ):
                    found += 1
                    assert isinstance(event, ast.Constant), f"{path}:{node.lineno}"
    assert found > 20
