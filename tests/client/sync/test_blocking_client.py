"""The synchronous Consumer and Admin: same names, same behaviour, threads and forks."""

import inspect
import os
import threading
import time

import pytest

import logd
import logd_client
from harness.fake_fetch_broker import FakeFetchBroker
from logd.model.errors import ClientClosed, UnknownTopic, UsedAfterFork
from logd.sync import Admin, Consumer
from logd_client import admin as async_admin
from logd_client import consumer as async_consumer


@pytest.fixture
def broker() -> FakeFetchBroker:
    broker = FakeFetchBroker()
    broker.create_topic("t", 1)
    for _ in range(4):
        broker.append("t", 0, [b"v"] * 300)
    return broker


def public(of: type) -> set[str]:
    return {name for name in dir(of) if not name.startswith("_")}


def test_the_faces_have_the_same_names() -> None:
    internal = {"next_cursor", "next_batch"}
    assert public(async_admin.Admin) <= public(Admin)
    assert public(async_consumer.Consumer) - internal <= public(Consumer)
    for name in public(async_admin.Admin):
        assert (
            inspect.signature(getattr(Admin, name))
            == inspect.signature(getattr(async_admin.Admin, name))
            or name == "close"
        )


def test_records_batches_and_polls_come_in_order(broker: FakeFetchBroker) -> None:
    with Consumer("t", transport=broker, fetch_max_wait_ms=20) as consumer:
        seen = []
        for record in consumer:
            seen.append(record.offset)
            if len(seen) == 400:
                break
        assert consumer.position("t", 0) == 400
        seen += next(consumer.batches()).offsets
        seen += [record.offset for record in consumer.poll(60_000, max_records=1000)]
        assert seen == list(range(1200))
        consumer.seek("t", 0, 1190)
        assert [record.offset for record in consumer.poll(60_000)] == list(range(1190, 1200))
        assert consumer.poll(0) == [] and consumer.lag("t", 0) == 0


def test_a_loop_commits_what_it_is_done_with_and_hears_of_rewinds(
    broker: FakeFetchBroker,
) -> None:
    group, key = broker.group("g"), (broker.topic_id("t"), 0)
    seen = []
    with Consumer("t", transport=broker, group_id="g", auto_commit_interval_ms=5) as consumer:
        for record in consumer:
            seen.append(record.offset)
            if len(seen) in (3, 350):
                wait_for(lambda offset=record.offset: group.offsets.get(key) == offset)
            if len(seen) == 350:
                broker.rewind("g", {("t", 0): 7})
                wait_for(lambda: consumer.position("t", 0) == 7)
            if len(seen) == 352:
                break
    assert seen == [*range(350), 7, 8]
    assert group.offsets[key] == 9


def wait_for(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_errors_reach_the_caller_and_use_after_close_is_one(broker: FakeFetchBroker) -> None:
    with pytest.raises(UnknownTopic):
        with Consumer("nothing", transport=broker):
            pass
    consumer = Consumer("t", transport=broker)
    consumer.close()
    consumer.close()
    with pytest.raises(ClientClosed):
        consumer.poll(0)
    with pytest.raises(ClientClosed):
        next(iter(consumer))
    with Admin(transport=broker) as admin:
        assert admin.fetch_offsets("g") == []
    with pytest.raises(ClientClosed):
        admin.fetch_offsets("g")
    assert not [thread for thread in threading.enumerate() if thread.name == "logd-loop"]


def test_use_after_fork_is_an_error(broker: FakeFetchBroker) -> None:
    with Consumer("t", transport=broker) as consumer:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                consumer.poll(0)
            except UsedAfterFork:
                consumer.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(consumer.poll(60_000)) == 500


def test_every_exported_name_is_there() -> None:
    for module in (logd, logd_client, logd.sync, logd_client.sync):
        for name in module.__all__:
            assert getattr(module, name) is not None
        assert set(module.__all__) <= set(dir(module))
        with pytest.raises(AttributeError, match="nothing"):
            module.nothing  # noqa: B018
    assert logd.errors.UnknownTopic is UnknownTopic
