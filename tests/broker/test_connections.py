"""Who holds a stream open is seen, and no longer when it ends, however it ends."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from harness.local_transport import CONTEXT
from harness.manual_clock import ManualClock
from logd.broker import connections
from logd.broker.connections import CLIENT_ID_CHARACTERS_MAX, Connections
from logd.model.cluster import Connection
from logd.model.errors import Overloaded
from logd.rpc.rpc import RequestContext, ServerStream, StreamRpc

STREAM: ServerStream = None  # type: ignore[assignment]
"""No handler here looks at it."""


@pytest.mark.parametrize("end", ["returns", "raises", "is cancelled"])
async def test_a_stream_is_seen_while_it_lasts(end: str) -> None:
    opened, go_on = asyncio.Event(), asyncio.Event()

    async def handler(context: RequestContext, stream: ServerStream) -> None:
        opened.set()
        await go_on.wait()
        if end == "raises":
            raise Overloaded("enough")

    clock = ManualClock()
    seen = Connections(clock)
    rpc = seen.watched(StreamRpc("/logd.v1.DataService/ProduceStream", handler, "write"))
    assert isinstance(rpc, StreamRpc)
    context = replace(CONTEXT, client_id="till-1", peer="ipv4:127.0.0.1:5")
    since_ms = clock.wall_ms()
    task = asyncio.ensure_future(rpc.handler(context, STREAM))
    await opened.wait()
    clock.advance(1000)
    assert seen.listed() == [Connection("till-1", "ipv4:127.0.0.1:5", "write", since_ms)]
    if end == "is cancelled":
        task.cancel()
    go_on.set()
    with suppress(Overloaded, asyncio.CancelledError):
        await task
    assert seen.listed() == []


async def test_what_is_told_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LISTED_MAX", 2)
    seen = Connections(ManualClock())

    async def handler(context: RequestContext, stream: ServerStream) -> None:
        await asyncio.Event().wait()

    rpc = seen.watched(StreamRpc("/logd.v1.DataService/FetchStream", handler, "read"))
    assert isinstance(rpc, StreamRpc)
    contexts = [replace(CONTEXT, client_id=f"{n}" * 1000) for n in range(3)]
    tasks = [asyncio.ensure_future(rpc.handler(context, STREAM)) for context in contexts]
    await asyncio.sleep(0)
    told = [each.client_id for each in seen.listed()]
    assert told == ["0" * CLIENT_ID_CHARACTERS_MAX, "1" * CLIENT_ID_CHARACTERS_MAX]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
