"""What of a benchmark its figures do not show."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from logd.cli.bench_run import BenchOptions, open_bench
from logd.cli.invocation import Invocation
from logd.cli.output import Output
from logd.model.errors import UnknownTopic
from logd_client import Admin

pytestmark = pytest.mark.slow

OPTIONS = BenchOptions(
    topic=None,
    duration_ms=100,
    warm_up_ms=0,
    value_bytes=100,
    partitions=2,
    acks="all",
    compression="none",
    durability="page_cache",
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as process:
        yield process


@pytest.fixture
def invocation(broker: BrokerProcess) -> Invocation:
    return Invocation(Output(), broker.address, timeout_ms=1_000)


async def test_its_topic_is_as_durable_as_asked(invocation: Invocation) -> None:
    async with Admin(bootstrap_servers=invocation.bootstrap) as admin:
        for asked, given in (("page_cache", "page_cache"), ("fsync", "fsync"), (None, "fsync")):
            async with open_bench(invocation, replace(OPTIONS, durability=asked)) as run:
                topic = await admin.describe_topic(run.topic)
                assert (topic.config["durability"], len(topic.partitions)) == (given, 2)
        with pytest.raises(UnknownTopic):
            await admin.describe_topic(run.topic)


async def test_an_empty_topic_cannot_be_read(invocation: Invocation) -> None:
    async with open_bench(invocation, OPTIONS) as run:
        with pytest.raises(RuntimeError, match="holds no records"):
            await run.consume()


async def test_what_does_not_come_is_told(
    invocation: Invocation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A sender that sends nothing, and says that all is well."""
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\necho 0.1\n")
    silent.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(silent))
    async with open_bench(invocation, OPTIONS) as run:
        with pytest.raises(RuntimeError, match="100 records did not come"):
            await run.e2e(1_000)
