import asyncio
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from grpc._cython import cygrpc

from harness.broker_process import BrokerProcess
from logd.model.errors import BrokerUnreachable, ClientClosed, UsedAfterFork
from logd.model.seams import TransportStream
from logd.system.grpc_transport import GrpcTransport, _UntilTold

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


UNNOTICED_MAX = 1_000
"""Streams that a connection is given after its end, at most: until its socket is looked at.
"""

FORKS = """
import os, sys
from logd_client.sync import Admin, Producer

where = {"bootstrap_servers": sys.argv[1]}
with Admin(**where) as admin, Producer(**where) as producer:
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


def _untold(but: Sequence[object] = ()) -> list[object]:
    """What gRPC has yet to tell: it holds one of these for each thing. Earlier tests' are left out
    that `but` names."""
    old = set(map(id, but))
    every = [each for each in gc.get_objects() if isinstance(each, cygrpc.CallbackWrapper)]
    return [each for each in every if id(each) not in old]


@pytest.mark.parametrize("ended_by", ["close", "being closed before", "being given up"])
@pytest.mark.parametrize(
    "kind", ["call", "stream", "stream that is read", "stream that is written"]
)
async def test_when_it_is_closed_grpc_has_nothing_more_to_tell(kind: str, ended_by: str) -> None:
    """What comes once the loop is closed ends as a traceback in the next loop that uses gRPC."""
    before, transport = _untold(), GrpcTransport("test")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        stream = None if kind == "call" else await transport.stream(address, METHOD)
        work: Coroutine[Any, Any, object]
        if stream is None:
            work = transport.unary(address, METHOD, b"", 60_000)
        else:
            works = {
                "stream": asyncio.sleep(0),
                "stream that is read": stream.receive(),
                "stream that is written": stream.send(b""),
            }
            work = works.pop(kind)
            for other in works.values():
                other.close()
        task = asyncio.create_task(work)
        while not _untold(before):
            await asyncio.sleep(0)
        if ended_by == "being given up":
            task.cancel()
        elif stream is not None and ended_by == "being closed before":
            await stream.close()
        await transport.close()
        assert _untold(before) == []
        [outcome] = await asyncio.gather(task, return_exceptions=True)
    if kind == "call" and ended_by != "being given up":
        assert isinstance(outcome, ClientClosed)


async def error_of(use: str, stream: TransportStream) -> BrokerUnreachable:
    with pytest.raises(BrokerUnreachable) as unreachable:
        while True:  # gRPC takes the first ones before it tells
            await (stream.send(b"") if use == "send" else stream.receive())
    return unreachable.value


@pytest.mark.slow
@pytest.mark.parametrize("use", ["send", "receive"])
async def test_a_stream_that_was_given_no_connection_has_sent_nothing(
    tmp_path: Path, use: str
) -> None:
    """And one whose broker died under it may have; so may those that are given its connection,
    until gRPC has seen that it is dead."""
    transport, method = GrpcTransport("test"), "/logd.v1.DataService/FetchStream"
    with BrokerProcess(tmp_path) as broker:
        stream = await transport.stream(broker.address, method)
        await stream.send(b"")
        broker.kill()
        assert not (await error_of(use, stream)).unsent
        for _ in range(UNNOTICED_MAX):
            if (await error_of(use, await transport.stream(broker.address, method))).unsent:
                break
        else:
            raise AssertionError("there is no connection, but what was sent is said to be in doubt")
    await transport.close()


async def test_what_fails_in_the_turn_in_which_its_wait_is_cancelled_is_asked_for() -> None:
    """Else its end is a traceback of asyncio's, at whatever time it is collected."""
    loop, told = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: told.append(context))

    async def write_that_fails_as_it_is_cancelled() -> None:
        event: asyncio.Future[None] = loop.create_future()

        async def work() -> None:
            await event

        async def write() -> None:
            await _UntilTold(work(), set())

        writing = asyncio.create_task(write())
        await asyncio.sleep(0)
        event.set_exception(ValueError("a write of a call that has ended"))
        writing.cancel()
        await asyncio.wait([writing])
        assert writing.cancelled()

    await write_that_fails_as_it_is_cancelled()
    gc.collect()
    assert told == []
