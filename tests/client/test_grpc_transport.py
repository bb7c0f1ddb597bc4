import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from logd.model.errors import BrokerUnreachable, UsedAfterFork
from logd_client.grpc_transport import GrpcTransport

NOWHERE, METHOD = "127.0.0.1:1", "/logd.v1.TopicService/ListTopics"


async def test_a_fork_of_a_process_that_used_grpc_is_told_so_at_once() -> None:
    """Without it the child's calls hang for ever."""
    transport = GrpcTransport("test")
    with pytest.raises(BrokerUnreachable):
        await transport.unary(NOWHERE, METHOD, b"", 5_000)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            GrpcTransport("new in the child")._multicallable(NOWHERE, METHOD, streaming=False)
        except UsedAfterFork:
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    await transport.close()


FORKS = """
import os, sys
from logd_client.sync import Admin, Producer

with Admin(sys.argv[1]) as admin, Producer(sys.argv[1]) as producer:
    admin.create_topic("orders")
    producer.send("orders", b"v").result()
    for _ in range(60):
        if (child := os.fork()) == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, "a child crashed"
"""


@pytest.mark.slow
def test_children_of_a_process_with_a_client_live(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        done = subprocess.run(
            [sys.executable, "-c", FORKS, broker.address],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
