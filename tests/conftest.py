"""For all tests: soak tests run only when asked for, and each run ends with a table of times."""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import PurePosixPath

import pytest
import structlog
from hypothesis import HealthCheck, settings

from harness import broker_process
from logd.model.seams import TransportStream
from logd.rpc.listener import FLIGHT
from logd.system.background_tasks import BackgroundTasks
from logd.system.grpc_transport import GrpcTransport

# A timing is never a test: a busy machine may take as long as it likes over an example.
settings.register_profile(
    "logd", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("logd")

FALL_BACKS_MAX = 10
"""A client whose broker is killed may find the Flight door dead, and not yet the other one."""

SAID = "said"

_seconds: Counter[str] = Counter()
_tests: Counter[str] = Counter()
_said: list[str] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave soak tests out unless `-m` names them."""
    if "soak" in config.getoption("-m"):
        return
    soak = [item for item in items if item.get_closest_marker("soak")]
    if soak:
        config.hook.pytest_deselected(items=soak)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    folder = PurePosixPath(report.nodeid.partition("::")[0]).parent.as_posix()
    _seconds[folder] += report.duration  # type: ignore[assignment]
    _tests[folder] += report.when == "call"
    if report.when == "teardown":
        _said.extend(str(line) for name, line in report.user_properties if name == SAID)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have said, then seconds and tests of each folder, the slowest first."""
    if _said:
        terminalreporter.section("what was tried", sep="-")
        for line in _said:
            terminalreporter.write_line(line)
    if not _seconds:
        return
    terminalreporter.section("seconds by folder", sep="-")
    for folder, seconds in [*_seconds.most_common(), ("all", sum(_seconds.values()))]:
        tests = _tests[folder] if folder != "all" else sum(_tests.values())
        terminalreporter.write_line(f"{seconds:8.1f} s  {tests:6} tests  {folder}")


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Puts a line into the output of the run, for tests whose numbers matter when they pass.

    It travels with the test's report, which may come from another process.
    """
    return lambda line: request.node.user_properties.append((SAID, line))


_ended: list[str] = []


@pytest.fixture(autouse=True, scope="session")
def background_ends() -> Iterator[None]:
    """Notes each background task of broker or SDK in this process that ends unexpectedly."""
    note = BackgroundTasks._note

    def noted(tasks: BackgroundTasks, name: str, error: Exception) -> None:
        _ended.append(f"{name}: {error!r}")
        note(tasks, name, error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BackgroundTasks, "_note", noted)
        yield


@pytest.fixture(autouse=True)
def no_background_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """Such an end is a fault, unless the test is there for it."""
    _ended.clear()
    yield
    if not request.node.get_closest_marker("ends_background"):
        assert not _ended, "a background task ended unexpectedly"


@pytest.fixture(autouse=True)
def default_diagnostics() -> Iterator[None]:
    """A test that configures diagnostics leaves the next one a logger to its own stdout."""
    yield
    structlog.reset_defaults()


@pytest.fixture(params=["grpc", "flight"])
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> broker_process.Door:
    """Twice: once for each door that the streams of the test's brokers come through."""
    through: broker_process.Door = request.param
    monkeypatch.setattr(broker_process, "door", through)
    if through == "flight":
        monkeypatch.setattr(GrpcTransport, "stream", _fall_back())
    return through


def _fall_back() -> Callable[..., Awaitable[TransportStream]]:
    """`GrpcTransport.stream`, which such a broker refuses where Flight has it, until it is no
    longer by chance."""
    stream, calls = GrpcTransport.stream, itertools.count(1)

    async def counted(transport: GrpcTransport, address: str, method: str) -> TransportStream:
        if FLIGHT.has(method):
            assert next(calls) <= FALL_BACKS_MAX, "the client does not take the Flight door"
        return await stream(transport, address, method)

    return counted
