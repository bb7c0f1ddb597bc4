"""How long members take to share anew, and what idle ones cost."""

import asyncio
import multiprocessing as mp
import os
import queue
import signal
import statistics
import tempfile
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import grpc.aio
import psutil
from sdk import cpu_s
from tables import print_table

from logd import ResetTarget
from logd.dev.demo_broker import DemoBroker
from logd.sync import Admin, Consumer, Producer
from logd_proto.v1 import groups_pb2 as pb
from logd_proto.v1 import groups_pb2_grpc

PARTITIONS = 8
MEMBERS = 4
PER_SECOND = 200
"""Records of each partition."""
SETTLED_S = 2.0
"""A share is final that lasts so long."""
GIVE_UP_S = 60.0

Seen = tuple[int, float, dict[int, int]]
"""Process id, when, and of each partition the first offset that it was given then."""


def _member(address: str, seen: "Queue[Seen]", stop: Event, there: Event, go: Event) -> None:
    there.set()
    go.wait()
    with Consumer("t", bootstrap_servers=address, group_id="g") as consumer:
        while not stop.is_set():
            records = consumer.poll(20)
            if records:
                now_s = time.monotonic()
                seen.put((os.getpid(), now_s, {r.partition: r.offset for r in reversed(records)}))


def _feed(address: str, stop: Event, flows: Event) -> None:
    with Producer(bootstrap_servers=address, linger_ms=0) as producer:
        producer.send("t", b"x", partition=0).result()
        flows.set()
        begin_s, sent = time.monotonic(), 0
        while not stop.is_set():
            while sent < (time.monotonic() - begin_s) * PER_SECOND:
                for partition in range(PARTITIONS):
                    producer.send("t", b"x", partition=partition)
                sent += 1
            time.sleep(0.002)


@dataclass
class Shared:
    """Seconds until every partition flows from who has it in the end; the longest that one stood
    still which stayed where it was, and any other."""

    took_s: float
    kept_pause_s: float
    moved_pause_s: float


class Group:
    """The members' processes, and what they report."""

    def __init__(self, address: str) -> None:
        self._context = mp.get_context("spawn")
        self._seen: Queue[Seen] = self._context.Queue()
        self._address = address
        self._members: dict[int, tuple[BaseProcess, Event]] = {}
        self._events: list[Event] = []
        """Kept: a process that starts finds them only while they are here."""
        self.owners: dict[int, int] = {}

    def join(self) -> int:
        """A new process, which joins once it is there."""
        pid, _, go = self._start()
        go.set()
        return pid

    def prepare(self) -> tuple[int, Event]:
        """A new process that has imported all it needs, and what makes it join."""
        pid, there, go = self._start()
        there.wait()
        return pid, go

    def _start(self) -> tuple[int, Event, Event]:
        stop, there, go = (self._context.Event() for _ in range(3))
        arguments = (self._address, self._seen, stop, there, go)
        process = self._context.Process(target=_member, args=arguments, daemon=True)
        process.start()
        assert process.pid is not None
        self._members[process.pid] = process, stop
        self._events += there, go
        return process.pid, there, go

    def leave(self, pid: int) -> None:
        self._members.pop(pid)[1].set()

    def signal(self, pid: int, number: signal.Signals) -> None:
        os.kill(pid, number)
        if number is signal.SIGKILL:
            del self._members[pid]

    def watch(self, since_s: float, pids: list[int]) -> Shared:
        """Until each partition is read by one of `pids`, evenly, for a while."""
        before, last = dict(self.owners), dict.fromkeys(range(PARTITIONS), since_s)
        pauses = dict.fromkeys(range(PARTITIONS), 0.0)
        owners: dict[int, int] = {}
        done_s = 0.0
        while time.monotonic() - since_s < GIVE_UP_S:
            try:
                pid, at_s, offsets = self._seen.get(timeout=0.2)
            except queue.Empty:
                continue
            if at_s < since_s:
                continue
            for partition in offsets:
                pauses[partition] = max(pauses[partition], at_s - last[partition])
                last[partition] = at_s
                if owners.get(partition) != pid:
                    owners[partition], done_s = pid, 0.0
            shares = [sum(owner == each for owner in owners.values()) for each in pids]
            even = max(shares) - min(shares) <= 1 and sum(shares) == PARTITIONS
            done_s = (done_s or at_s) if even else 0.0
            if done_s and at_s - done_s > SETTLED_S:
                break
        else:
            raise RuntimeError(f"not shared within {GIVE_UP_S} s: {owners}")
        self.owners = owners
        kept = [p for p in pauses if before.get(p) == owners[p]]
        moved = [p for p in pauses if before.get(p) != owners[p]]
        return Shared(
            done_s - since_s,
            max((pauses[p] for p in kept), default=0.0),
            max((pauses[p] for p in moved), default=0.0),
        )

    def rewound(self, since_s: float) -> float:
        """Seconds until all partitions are given from their beginning again."""
        waiting = set(range(PARTITIONS))
        while waiting and time.monotonic() - since_s < GIVE_UP_S:
            _, at_s, offsets = self._seen.get(timeout=GIVE_UP_S)
            if at_s > since_s:
                waiting -= {p for p, offset in offsets.items() if offset < PER_SECOND}
        return at_s - since_s

    def close(self) -> None:
        for _, stop in self._members.values():
            stop.set()
        for process, _ in self._members.values():
            process.join(20)


def measure_rebalance(rounds: int) -> None:
    """Leave, join, kill -9, freeze and rewind; medians over the rounds, and the spread."""
    rows: dict[str, list[Shared]] = {}
    rewinds: list[float] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="logd-rebalance-") as folder:
            broker = DemoBroker(Path(folder))
            try:
                broker.start()
                _one_round(broker.address, rows, rewinds)
            finally:
                broker.close()
    table = [
        f"{event} | {_spread(s.took_s for s in each)} | {_spread(s.moved_pause_s for s in each)} | "
        f"{_spread(s.kept_pause_s for s in each)}"
        for event, each in rows.items()
    ]
    table.append(f"rewind, to the first old record of each | {_spread(rewinds)} | |")
    head = "event | s until all flow | longest pause of a moved partition, s | of a kept one, s"
    print_table(f"load/measure.py rebalance --rounds {rounds}", head, table)


def _spread(values: Iterable[float]) -> str:
    ordered = list(values)
    return f"{statistics.median(ordered):.2f} ({min(ordered):.2f} to {max(ordered):.2f})"


def _one_round(address: str, rows: dict[str, list[Shared]], rewinds: list[float]) -> None:
    with Admin(bootstrap_servers=address) as admin:
        admin.create_topic("t", PARTITIONS)
        context = mp.get_context("spawn")
        stop, flows = context.Event(), context.Event()
        feeder = context.Process(target=_feed, args=(address, stop, flows), daemon=True)
        feeder.start()
        flows.wait()
        group = Group(address)
        try:

            def note(event: str, since_s: float, pids: list[int]) -> None:
                rows.setdefault(event, []).append(group.watch(since_s, pids))

            begin_s = time.monotonic()
            a, b, c, d = (group.join() for _ in range(MEMBERS))
            note("four form a group (processes start)", begin_s, [a, b, c, d])
            begin_s = time.monotonic()
            group.leave(a)
            note("a member leaves", begin_s, [b, c, d])
            e, go = group.prepare()
            begin_s = time.monotonic()
            go.set()
            note("one joins (its process runs)", begin_s, [b, c, d, e])
            begin_s = time.monotonic()
            group.signal(b, signal.SIGKILL)
            note("one is killed", begin_s, [c, d, e])
            begin_s = time.monotonic()
            group.signal(c, signal.SIGSTOP)
            note("one is frozen", begin_s, [d, e])
            begin_s = time.monotonic()
            group.signal(c, signal.SIGCONT)
            note("it wakes", begin_s, [c, d, e])
            begin_s = time.monotonic()
            admin.reset_offsets("g", ResetTarget.earliest(), execute=True)
            rewinds.append(group.rewound(begin_s))
        finally:
            stop.set()
            feeder.join(10)
            group.close()


MEMBERS_PER_GROUP = 100
SESSIONS_PER_CHANNEL = 50


def measure_members(count: int, seconds: float) -> None:
    """Sessions of bare stubs, which hold what they are granted and then say nothing."""
    with tempfile.TemporaryDirectory(prefix="logd-members-") as folder:
        broker = DemoBroker(Path(folder))
        try:
            broker.start()
            row = asyncio.run(_idle(broker.address, broker.pid, count, seconds))
        finally:
            broker.close()
    head = "members | s to join, all | broker CPU, ms a s | RSS MiB more | bytes written, idle"
    print_table(f"load/measure.py members {count} --seconds {seconds:g}", head, [row])


async def _idle(address: str, pid: int, count: int, seconds: float) -> str:
    async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
        await asyncio.to_thread(_make_topic, address)
        before_mib = _rss_mib(pid)
        begin_s = time.monotonic()
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address, [_OWN_CONNECTION]))
            for _ in range(-(-count // SESSIONS_PER_CHANNEL))
        ]
        joined = [asyncio.Event() for _ in range(count)]
        sessions = [
            group.create_task(_hold(channels[n // SESSIONS_PER_CHANNEL], n, joined[n]))
            for n in range(count)
        ]
        for event in joined:
            await event.wait()
        took_s = time.monotonic() - begin_s
        await asyncio.sleep(3)  # until nothing changes hands any more
        cpu, written = cpu_s(pid), _written(pid)
        await asyncio.sleep(seconds)
        spent_ms = (cpu_s(pid) - cpu) * 1000 / seconds
        more = _rss_mib(pid) - before_mib
        row = f"{count:,} | {took_s:.1f} | {spent_ms:.1f} | {more:.0f} | {_written(pid) - written}"
        for session in sessions:
            session.cancel()
        return row


_OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)


def _make_topic(address: str) -> None:
    with Admin(bootstrap_servers=address) as admin:
        admin.create_topic("t", MEMBERS_PER_GROUP)


async def _hold(channel: grpc.aio.Channel, number: int, joined: asyncio.Event) -> None:
    call = groups_pb2_grpc.GroupServiceStub(channel).Session()  # type: ignore[no-untyped-call]
    first = pb.SessionRequest(
        group=f"g{number // MEMBERS_PER_GROUP}",
        member_id=f"m{number}",
        subscription=pb.Subscription(topics=["t"]),
    )
    await call.write(first)
    while (told := await call.read()) is not grpc.aio.EOF:
        joined.set()
        held = [pb.HeldPartition(topic_id=g.topic_id, partition=g.partition) for g in told.assigned]
        await call.write(pb.SessionRequest(member_epoch=told.member_epoch, held=held))


def _rss_mib(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / (1 << 20)


def _written(pid: int) -> int:
    return psutil.Process(pid).io_counters().write_bytes
