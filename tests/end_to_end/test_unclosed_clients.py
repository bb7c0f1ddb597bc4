"""Programs that end with clients open: what a producer took is written, or told of on stderr."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness.broker_process import BrokerProcess
from logd.sync import Admin, Consumer

pytestmark = pytest.mark.slow

TIMEOUT_S = 60
RECORDS = 1000
START = f"""
import asyncio, os, sys, threading
import logd
from logd.sync import Consumer, Producer
topic, address, RECORDS = sys.argv[1], sys.argv[2], {RECORDS}

def send(**settings):
    producer = Producer(bootstrap_servers=address, **settings)
    for n in range(RECORDS):
        producer.send(topic, b"%d" % n)
    return producer

async def send_async(**settings):
    producer = logd.Producer(bootstrap_servers=address, **settings)
    for n in range(RECORDS):
        await producer.send(topic, b"%d" % n)
    return producer
"""
LINGERS = "linger_ms=60_000"

STORED = {
    "held to the end": f"p = send({LINGERS})",
    "held by nobody": f"send({LINGERS})",
    "sys.exit": f"p = send({LINGERS})\nsys.exit(3)",
    "an exception": f"p = send({LINGERS})\n1 / 0",
    "sent by a daemon thread": f"""
sent = threading.Event()
def run():
    p = send({LINGERS})
    sent.set()
    threading.Event().wait()
threading.Thread(target=run, daemon=True).start()
sent.wait()
""",
    "large and compressed": f"""
p = Producer(bootstrap_servers=address, compression_type="zstd", {LINGERS})
for n in range(RECORDS):
    p.send(topic, b"%d" % n + b" " * 1000)
""",
    "a child ended before": f"""
p = send({LINGERS})
child = os.fork()
if child == 0:
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
""",
    "beside a consumer that is open": f"""
p = send({LINGERS})
c = Consumer(topic, bootstrap_servers=address, group_id="left-open")
c.poll(timeout_ms=0)
""",
}
STATUS = {"sys.exit": 3, "an exception": 1}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


def run(program: str, topic: str, address: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", START + program, topic, address]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)


def new_topic(broker: BrokerProcess, name: str) -> str:
    topic = re.sub("[^a-z]", "-", name)
    with Admin(bootstrap_servers=broker.address) as admin:
        admin.create_topic(topic)
    return topic


def stored(broker: BrokerProcess, topic: str) -> list[int]:
    with Admin(bootstrap_servers=broker.address) as admin:
        [partition] = admin.describe_partitions(topic)
    count, values = partition.high_watermark, list[int]()
    with Consumer(topic, bootstrap_servers=broker.address) as consumer:
        while len(values) < count:
            values += [int(record.value or b"") for record in consumer.poll(timeout_ms=1000)]
    return values


@pytest.mark.parametrize("program", STORED)
def test_the_end_of_a_program_flushes_its_blocking_producers(
    broker: BrokerProcess, program: str
) -> None:
    topic = new_topic(broker, program)
    done = run(STORED[program], topic, broker.address)
    assert done.returncode == STATUS.get(program, 0), done.stderr
    assert stored(broker, topic) == list(range(RECORDS))
    assert ("Traceback" in done.stderr) == (program == "an exception")
    assert "records_failed" not in done.stderr


TOLD = {
    "an async producer": f"asyncio.run(send_async({LINGERS}))",
    "an async producer and an exception": f"""
async def main():
    p = await send_async({LINGERS})
    1 / 0
try:
    asyncio.run(main())
except ZeroDivisionError:
    pass
""",
    "an async producer whose loop goes on": f"""
loop = asyncio.new_event_loop()
p = loop.run_until_complete(send_async({LINGERS}))
""",
    "an async producer and a child": f"""
loop = asyncio.new_event_loop()
p = loop.run_until_complete(send_async({LINGERS}))
if os.fork() == 0:
    sys.exit(0)
os.wait()
""",
}


@pytest.mark.parametrize("program", TOLD)
def test_what_the_end_of_a_program_loses_is_told(broker: BrokerProcess, program: str) -> None:
    topic = new_topic(broker, program)
    done = run(TOLD[program], topic, broker.address)
    assert done.returncode == 0, done.stderr
    [said] = [line for line in done.stderr.splitlines() if "records_failed" in line]
    assert f"records={RECORDS} " in said and "before the producer was closed" in said
    assert stored(broker, topic) == []


STUCK = """
import signal
from logd_client.sync import producer
producer.EXIT_FLUSH_MS = 100
p = send()
p.flush()
os.kill(int(os.environ["BROKER"]), signal.SIGSTOP)
for n in range(RECORDS):
    p.send(topic, b"late")
"""


def test_a_flush_at_the_end_is_bounded_and_tells_what_it_leaves(
    broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = new_topic(broker, "stuck")
    monkeypatch.setenv("BROKER", str(broker.pid))
    try:
        done = run(STUCK, topic, broker.address)
    finally:
        broker.resume()
    assert done.returncode == 0, done.stderr
    [said] = done.stderr.splitlines()
    assert f"records_failed records={RECORDS} " in said
    assert "the program ended before the producer was closed" in said
