"""Programs with an event loop after another, and clients in each: gRPC has nothing to complain of.

gRPC serves all loops of a process by one queue. What it tells of a call after the call's loop was
closed ends as a traceback on stderr, in whatever loop uses gRPC next.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess

pytestmark = pytest.mark.slow

LOOPS = 40
TIMEOUT_S = 120
START = f"""
import asyncio, contextlib, logging, sys
import logd, logd.sync
LOOPS, address = {LOOPS}, sys.argv[1]

async def produce_and_consume():
    asyncio.get_running_loop().slow_callback_duration = 60  # what -X dev tells is no matter here
    async with logd.Producer(bootstrap_servers=address) as producer:
        await producer.send("orders", b"x")
        await producer.flush()
        async with logd.Consumer("orders", bootstrap_servers=address) as consumer:
            await consumer.poll(timeout_ms=1000)

def produce_and_consume_blocking():
    with logd.sync.Producer(bootstrap_servers=address) as producer:
        producer.send("orders", b"x")
        producer.flush()
    with logd.sync.Consumer("orders", bootstrap_servers=address) as consumer:
        consumer.poll(timeout_ms=1000)

with logd.sync.Admin(bootstrap_servers=address) as admin:
    admin.create_topic("orders", partitions=1)
"""
PROGRAMS = {
    "one loop after another": """
for _ in range(LOOPS):
    asyncio.run(produce_and_consume())
""",
    "with and without await in turn": """
for _ in range(LOOPS // 2):
    asyncio.run(produce_and_consume())
    produce_and_consume_blocking()
""",
    "beside a client without await": """
with logd.sync.Admin(bootstrap_servers=address) as admin:
    for _ in range(LOOPS):
        asyncio.run(produce_and_consume())
        admin.list_topics()
""",
    "calls that are given up": """
async def give_up():
    asyncio.get_running_loop().slow_callback_duration = 60
    async with logd.Admin(bootstrap_servers=address) as admin:
        await admin.list_topics()
        calls = [asyncio.create_task(admin.list_topics()) for _ in range(5)]
        for _ in range(5):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

for _ in range(LOOPS):
    asyncio.run(give_up())
asyncio.run(produce_and_consume())
""",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_is_said_on_stderr(tmp_path: Path, program: str) -> None:
    with BrokerProcess(tmp_path) as broker:
        command = ["-X", "dev", "-W", "error", "-c", START + PROGRAMS[program], broker.address]
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, timeout=TIMEOUT_S
        )
    assert (done.returncode, done.stderr) == (0, "")
