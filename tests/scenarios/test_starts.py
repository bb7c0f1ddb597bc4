"""What a start says: why it can't be, and who else may come in."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.broker_process import BrokerProcess, free_port
from harness.local_broker import local_broker
from harness.small_disk import MountRefused, SmallDisk, small_disk

HANG_S = 60
"""Longer only where a test fails."""


class Ended(NamedTuple):
    status: int
    lines: list[str]


def start_in_vain(*flags: str) -> Ended:
    """A broker that does not start: its status, and what it says but for events."""
    done = subprocess.run(
        [sys.executable, "-m", "logd.main", "start", *flags],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.stdout == "" and "Traceback" not in done.stderr
    return Ended(done.returncode, [line for line in done.stderr.splitlines() if line[:1] != "{"])


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that a broker has used."""
    place = tmp_path_factory.mktemp("used")

    async def use() -> None:
        async with local_broker(place):
            pass

    asyncio.run(use())
    return place / "data"


Prepared = tuple[list[str], int, list[str]]
"""Flags, the exit status, and what the lines say."""


@contextmanager
def port_in_use(data: Path) -> Iterator[Prepared]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        yield ["--listen", address], 5, ["ADDRESS_IN_USE", address, "--listen"]


@contextmanager
def flight_port_in_use(data: Path) -> Iterator[Prepared]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        yield ["--flight-listen", address], 5, ["ADDRESS_IN_USE", address, "--flight-listen"]


@contextmanager
def address_of_another(data: Path) -> Iterator[Prepared]:
    yield ["--listen", "203.0.113.7:9600"], 2, ["203.0.113.7:9600", "not one of this machine's"]


@contextmanager
def unknown_host(data: Path) -> Iterator[Prepared]:
    yield ["--listen", "no-host.invalid:9600"], 2, ["no-host.invalid", "not known here"]


@contextmanager
def brackets_forgotten(data: Path) -> Iterator[Prepared]:
    yield ["--listen", "::1:9600"], 2, ["[::1]:9600"]


@contextmanager
def many_wrong(data: Path) -> Iterator[Prepared]:
    yield ["--broker-id", "x", "--log-level", "loud"], 2, ["broker_id", "0 to", "log_level"]


@contextmanager
def a_file(data: Path) -> Iterator[Prepared]:
    shutil.rmtree(data)
    data.write_text("")
    yield [], 2, [str(data), "is a file", "name a directory"]


@contextmanager
def below_a_file(data: Path) -> Iterator[Prepared]:
    file = data / "file"
    file.write_text("")
    yield ["--data-dir", f"{file}/data"], 2, [f"{file}/data", "name a directory"]


@contextmanager
def not_writable(data: Path) -> Iterator[Prepared]:
    mount = data / "mount"
    try:
        with small_disk("tmpfs", mount, 1 << 20):
            subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
            yield ["--data-dir", str(mount)], 2, [str(mount), "cannot be written"]
    except MountRefused as why:
        pytest.skip(f"nothing can be mounted here: {why}")


@contextmanager
def disk_full(data: Path) -> Iterator[Prepared]:
    mount = data / "mount"
    try:
        with small_disk("tmpfs", mount, 1 << 20):
            SmallDisk(mount).fill()
            yield ["--data-dir", f"{mount}"], 7, ["STORAGE_FULL", str(mount), "free"]
    except MountRefused as why:
        pytest.skip(f"nothing can be mounted here: {why}")


@contextmanager
def locked(data: Path) -> Iterator[Prepared]:
    with BrokerProcess(data.parent) as broker:
        yield [], 5, ["DATA_DIRECTORY_LOCKED", f"process {broker.pid}", str(data)]


@contextmanager
def newer_layout(data: Path) -> Iterator[Prepared]:
    path = data / "format.json"
    newer = json.loads(path.read_text()) | {"layout_version": 99, "needs": "logd 9 or newer"}
    path.write_text(json.dumps(newer))
    yield [], 2, ["UNSUPPORTED_VERSION", str(data), "logd 9 or newer"]


@contextmanager
def another_broker(data: Path) -> Iterator[Prepared]:
    yield ["--broker-id", "4"], 2, [str(data), "belongs to broker 0", "broker_id"]


@contextmanager
def damaged_metadata(data: Path) -> Iterator[Prepared]:
    path = data / "metadata.sqlite"
    path.write_bytes(b"\xff" * path.stat().st_size)
    yield [], 8, [str(path), f"logctl segments rebuild-metadata {data}"]


@contextmanager
def lost_metadata(data: Path) -> Iterator[Prepared]:
    (data / "metadata.sqlite").unlink()
    yield [], 8, [str(data), f"logctl segments rebuild-metadata {data}"]


@contextmanager
def damaged_format(data: Path) -> Iterator[Prepared]:
    path = data / "format.json"
    path.write_text("{}")
    yield [], 8, [str(path), f"try: restore {path} from a backup"]


CASES = [
    port_in_use,
    flight_port_in_use,
    address_of_another,
    unknown_host,
    brackets_forgotten,
    many_wrong,
    a_file,
    below_a_file,
    not_writable,
    disk_full,
    locked,
    newer_layout,
    another_broker,
    damaged_metadata,
    lost_metadata,
    damaged_format,
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_start_that_cannot_be_says_why(
    tmp_path: Path, used: Path, case: Callable[[Path], AbstractContextManager[Prepared]]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(used, data)
    with case(data) as (flags, status, words):
        listen = [] if "--listen" in flags else ["--listen", "127.0.0.1:0"]
        ended = start_in_vain("--data-dir", str(data), *listen, *flags)
    assert ended.status == status, ended.lines
    assert [line.split(":")[0] for line in ended.lines] == ["error", "  where", "  try"]
    said = "\n".join(ended.lines)
    assert [word for word in words if word not in said] == [], said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "warns", "advertised"),
    [
        ("127.0.0.1", False, "127.0.0.1"),
        ("0.0.0.0", True, socket.gethostname()),
        ("[::]", True, socket.gethostname()),
    ],
)
def test_who_may_come_in_and_where_clients_are_sent(
    tmp_path: Path, host: str, warns: bool, advertised: str
) -> None:
    if ":" in host:
        try:
            socket.create_server(("::", 0), family=socket.AF_INET6).close()
        except OSError as why:
            pytest.skip(f"no IPv6 here: {why}")
    broker = BrokerProcess(tmp_path)
    port = free_port()
    broker.address = broker.command[broker.command.index("--listen") + 1] = f"{host}:{port}"
    with broker:
        shown = subprocess.run(
            [sys.executable, "-m", "logd.cli.main", "brokers", "ls", "-o", "json"],
            env={**os.environ, "LOGD_BOOTSTRAP": f"127.0.0.1:{port}"},
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=True,
        )
        assert broker.stop() == 0
    assert f'"{advertised}:{port}"' in shown.stdout
    events = [json.loads(line) for line in broker.stderr().splitlines()]
    may = "anybody who reaches this broker may read, write and delete"
    warnings = [event for event in events if event["event"] == may]
    assert len(warnings) == warns
    for warning in warnings:
        assert warning["listen"] == f"{host}:{port}"
        assert warning["advertised"] == f"{advertised}:{port}"
