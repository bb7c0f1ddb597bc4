"""Small disks, where this machine lets us mount them, and directories to tamper with."""

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from harness.prepared_data import PreparedData, prepare_data
from harness.small_disk import KINDS, Kind, MountRefused, SmallDisk, small_disk

DISK_BYTES = 16 << 20


@pytest.fixture(scope="session")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, str]:
    """Which kinds can't be mounted here, and why: tried once."""
    refused: dict[Kind, str] = {}
    for kind in KINDS:
        try:
            with small_disk(kind, tmp_path_factory.mktemp("mount") / "data", 1 << 20):
                pass
        except MountRefused as error:
            refused[kind] = str(error)
    return refused


@pytest.fixture(params=KINDS)
def disk(
    request: pytest.FixtureRequest, refusals: dict[Kind, str], tmp_path: Path
) -> Iterator[SmallDisk]:
    """Mounted at `data` in the test's directory: a broker's data directory is the whole disk."""
    kind: Kind = request.param
    if kind in refusals:
        pytest.skip(f"no {kind} can be mounted here: {refusals[kind]}")
    with small_disk(kind, tmp_path / "data", DISK_BYTES) as mounted:
        yield mounted


@pytest.fixture(scope="session")
def room() -> Iterator[Path]:
    """Where directories are copied to, one for each damage: in memory where it can be."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def prepared_after(room: Path) -> Callable[[str], PreparedData]:
    """Made once for each way to end, and copied by who changes it."""
    return functools.cache(lambda end: prepare_data(room / end, killed=end == "kill"))


@pytest.fixture(params=["clean stop", "kill"])
def prepared(
    request: pytest.FixtureRequest, prepared_after: Callable[[str], PreparedData]
) -> PreparedData:
    """After either way to end."""
    return prepared_after(request.param)


@pytest.fixture
def quiet() -> None:
    """Hundreds of starts would each tell of what they repair."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
