"""Calls of the clients' methods, by name, for tests that put each through the same."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from harness.fake_fetch_broker import FakeFetchBroker
from logd.model.offset_spec import OffsetSpec
from logd.model.seams import TransportStream
from logd_client.descriptions import ResetTarget
from logd_client.producer import Producer

HANGS_S = 60
"""Only what hangs takes so long."""


class SilentBroker(FakeFetchBroker):
    """Does not answer the calls that are named in `silent`; `asked` is set when one comes;
    with none named, when records are asked for."""

    def __init__(self, *silent: str) -> None:
        super().__init__()
        self.create_topic("t")
        self.silent = set(silent)
        self.asked = threading.Event()

    async def unary(self, address: str, method: str, request: bytes, timeout_ms: int) -> bytes:
        if method.rpartition("/")[2] in self.silent or "*" in self.silent:
            self.asked.set()
            await asyncio.Event().wait()
        return await super().unary(address, method, request, timeout_ms)

    async def stream(self, address: str, method: str) -> TransportStream:
        name = method.rpartition("/")[2]
        if (name == "FetchStream" and not any(self.silent)) or name in self.silent:
            self.asked.set()
        self.coordinator.silent = name in self.silent
        return await super().stream(address, method)


CONSUMER_WAITS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "next_batch": ("", lambda c: c.next_batch()),
    "next_cursor": ("", lambda c: c.next_cursor()),
    "for": ("", lambda c: anext(aiter(c))),
    "batches": ("", lambda c: anext(c.batches())),
    "poll": ("", lambda c: c.poll(1 << 40)),
    "start": ("DescribeTopic", lambda c: c.start()),
    "start in the group": ("Session", lambda c: c.start()),
    "start at the log's end": ("ListOffsets", lambda c: c.start()),
    "lag": ("ListOffsets", lambda c: c.lag("t", 0)),
    "commit": ("CommitOffsets", lambda c: c.commit()),
    "committed": ("FetchOffsets", lambda c: c.committed("t", 0)),
    "read_arrow": ("DescribeTopic", lambda c: c.read_arrow("t")),
}
"""name -> the call, and before it the broker's call that it waits for (none: for records)."""

SPEC = {0: OffsetSpec.earliest()}
ADMIN_CALLS: dict[str, tuple[Any, ...]] = {
    "create_topic": ("t",),
    "list_topics": (),
    "describe_topic": ("t",),
    "set_topic": ("t", {}),
    "add_partitions": ("t", 2),
    "delete_topic": ("t",),
    "truncate_topic": ("t", SPEC),
    "delete_records": ("t", SPEC),
    "describe_partitions": ("t",),
    "list_offsets": ("t", SPEC),
    "list_groups": (),
    "describe_group": ("g",),
    "group_lag": ("g",),
    "delete_group": ("g",),
    "commit_offsets": ("g", {("t", 0): 0}),
    "fetch_offsets": ("g",),
    "reset_offsets": ("g", ResetTarget.earliest()),
    "undo_reset": ("g",),
    "fork_group": ("g", "h", 0),
    "group_history": ("g",),
    "cluster_info": (),
    "cluster_health": (),
    "list_connections": (),
}
"""name -> its arguments."""


async def full_buffer(producer: Producer) -> None:
    while True:
        await producer.send("orders", b"x" * 900, partition=0)


async def handle(producer: Producer) -> None:
    await (await producer.send("orders", b"x"))


async def handles(producer: Producer) -> None:
    await (await producer.send_many("orders", [b"x"] * 3))


async def flush(producer: Producer) -> None:
    await producer.send("orders", b"x")
    await producer.flush()
