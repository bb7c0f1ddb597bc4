"""Members as processes: killed, frozen, two of one name, and their broker killed under them."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import group_member
from harness.broker_process import BrokerProcess, python_path
from logd.sync import Admin, Producer
from logd.testing.group_story import GroupStory

TOPIC, GROUP, PARTITIONS = "t", "g", 6
PER_SECOND = 200
WAIT_S = 90
"""For an event that must come; longer only where a test fails."""
GAP_MS = 11_000
"""The session time plus 1 s."""


class Member:
    """A process, and what it has told so far."""

    def __init__(self, events: "queue.Queue[tuple[str, list[Any]]]", address: str, name: str,
                 **settings: object) -> None:  # fmt: skip
        self.name = name
        self.told: list[list[Any]] = []
        program = group_member.__file__
        assert program is not None
        self.process = subprocess.Popen(
            [sys.executable, program, address, GROUP, TOPIC, name, json.dumps(settings)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": python_path()},
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(events,), daemon=True)
        self._reader.start()

    def _read(self, events: "queue.Queue[tuple[str, list[Any]]]") -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):
                    event = json.loads(line)
                    self.told.append(event)
                    events.put((self.name, event))

    def has(self) -> set[int]:
        held: set[int] = set()
        for _, what, *about in list(self.told):
            if what == "assigned":
                held |= set(about[0])
            elif what in ("revoked", "lost"):
                held -= set(about[0])
        return held

    def told_of(self, what: str) -> list[list[Any]]:
        return [event for event in list(self.told) if event[1] == what]

    def parted_with(self) -> int:
        """How often it has been told that it has something no more."""
        return len(self.told_of("lost")) + len(self.told_of("revoked"))

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()


class World:
    """A broker, a producer that goes on and on, members, and what they told in order of time."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.broker = broker
        self.members: dict[str, Member] = {}
        self.ours: list[tuple[float, str, list[Any]]] = []
        self._events: queue.Queue[tuple[str, list[Any]]] = queue.Queue()
        self._stopping = threading.Event()
        self.sent = [0] * PARTITIONS
        self._producing = threading.Thread(target=self._produce)
        with Admin(bootstrap_servers=broker.address) as admin:
            admin.create_topic(TOPIC, PARTITIONS)
        self._producing.start()

    def _produce(self) -> None:
        with Producer(bootstrap_servers=self.broker.address, linger_ms=0) as producer:
            while not self._stopping.is_set():
                for partition in range(PARTITIONS):
                    producer.send(TOPIC, b"%d" % self.sent[partition], partition=partition)
                    self.sent[partition] += 1
                self._stopping.wait(PARTITIONS / PER_SECOND)

    def join(self, name: str, **settings: object) -> Member:
        self.members[name] = Member(self._events, self.broker.address, name, **settings)
        return self.members[name]

    def until(self, holds: Callable[[], bool]) -> None:
        """Until it does: looked at after each event. Raises where it never does."""
        end_s = time.monotonic() + WAIT_S
        while not holds():
            left_s = end_s - time.monotonic()
            assert left_s > 0, {name: sorted(m.has()) for name, m in self.members.items()}
            try:
                self._events.get(timeout=min(left_s, 0.5))
            except queue.Empty:
                continue

    def shared_by(self, *members: Member) -> bool:
        """Each partition is with one of them, evenly."""
        held = [member.has() for member in members]
        even = max(map(len, held)) - min(map(len, held)) <= 1
        return even and sum(map(len, held)) == len(set().union(*held)) == PARTITIONS

    def gone(self, member: Member, number: signal.Signals) -> None:
        """What it believes to have counts no more."""
        self.ours.append((time.monotonic(), member.name, ["gone"]))
        member.process.send_signal(number)

    def all_is_done(self) -> bool:
        with Admin(bootstrap_servers=self.broker.address) as admin:
            lags = admin.group_lag(GROUP)
        return len(lags) == PARTITIONS and all(
            each.committed == self.sent[each.partition] for each in lags
        )

    def finish(self, *members: Member) -> GroupStory:
        """No more records; all are read and committed; then these leave."""
        self._stopping.set()
        self._producing.join()
        self.until(self.all_is_done)
        for member in members:
            member.process.send_signal(signal.SIGTERM)
        for member in members:
            assert member.process.wait(WAIT_S) == 0
            member._reader.join()
        return self._story()

    def close(self) -> None:
        self._stopping.set()
        for member in self.members.values():
            member.end()
        self._producing.join()

    def _story(self) -> GroupStory:
        events = list(self.ours)
        for member in self.members.values():
            events += [(at, member.name, [what, *about]) for at, what, *about in member.told]
        story = GroupStory()
        began: dict[tuple[str, int], float] = {}
        since: dict[tuple[str, int], float] = {}
        given: dict[int, dict[int, int]] = {number: {} for number in range(PARTITIONS)}
        for at, name, (what, *about) in sorted(events, key=lambda event: event[0]):
            now_ms = int(at * 1000)
            match what:
                case "joined":
                    story.joined(name)
                case "assigned":
                    for partition in about[0]:
                        since[name, partition] = at
                        story.assigned(now_ms, name, str(partition), 0)
                case "revoked":
                    for partition in about[0]:
                        story.released(now_ms, name, str(partition))
                case "lost":
                    for partition in about[0]:
                        story.lost(now_ms, name, str(partition))
                case "gone" | "left" | "duplicate":
                    story.gone(now_ms, name)
                case "given":
                    for partition, offset, value in about[0]:
                        story.delivered(str(partition), offset)
                        assert given[partition].setdefault(offset, value) == value
                case "commits":
                    began[name, about[0]] = at
                    story.commits(str(about[0]), about[1])
                case "committed":
                    story.committed(str(about[0]), about[1])
                case "refused" if since[name, about[0]] < began[name, about[0]]:
                    # Else it is of a time before, and was answered when it had it anew.
                    story.refused(name, str(about[0]), about[1])
        for partition, count in enumerate(self.sent):
            assert sorted(set(given[partition].values())) == list(range(count)), "none is left out"
        return story


@contextmanager
def world(directory: Path) -> Iterator[World]:
    with BrokerProcess(directory) as broker:
        made = World(broker)
        try:
            yield made
        finally:
            made.close()


def judge(story: GroupStory, gap_ms: int = GAP_MS) -> None:
    assert story.findings(int(time.monotonic() * 1000), gap_ms) == []
    assert story.valid_commits_refused == 0


@pytest.mark.slow
def test_members_are_killed_while_others_come(tmp_path: Path) -> None:
    with world(tmp_path) as group:
        a, b, c = (group.join(name) for name in "abc")
        group.until(lambda: group.shared_by(a, b, c))
        group.gone(a, signal.SIGKILL)
        d = group.join("d")
        group.until(lambda: group.shared_by(b, c, d))
        group.gone(b, signal.SIGKILL)
        group.gone(c, signal.SIGKILL)
        group.until(lambda: group.shared_by(d))
        judge(group.finish(d))


@pytest.mark.slow
def test_a_member_that_was_frozen_is_a_zombie_whose_commits_are_refused(tmp_path: Path) -> None:
    with world(tmp_path) as group:
        a, b = group.join("a"), group.join("b")
        group.until(lambda: group.shared_by(a, b))
        parted = a.parted_with()
        group.gone(a, signal.SIGSTOP)
        group.until(lambda: group.shared_by(b))
        a.process.send_signal(signal.SIGCONT)
        # Lost where a commit was refused first, else revoked: its last commit is refused then.
        group.until(lambda: a.parted_with() > parted and group.shared_by(a, b))
        judge(group.finish(a, b))


@pytest.mark.slow
def test_the_broker_is_killed_while_partitions_change_hands(tmp_path: Path) -> None:
    with world(tmp_path) as group:
        a, b = group.join("a"), group.join("b")
        group.until(lambda: group.shared_by(a, b))
        kept = a.has()
        c = group.join("c")
        group.until(lambda: bool(a.told_of("revoked") or b.told_of("revoked")))
        group.broker.kill()
        group.broker.start()
        group.until(lambda: group.shared_by(a, b, c))
        assert not any(member.told_of("lost") for member in (a, b, c))
        assert a.has() < kept, "what stayed was never given up"
        judge(group.finish(a, b, c), gap_ms=WAIT_S * 1000)


@pytest.mark.slow
def test_of_two_processes_of_one_name_the_newest_stays(tmp_path: Path) -> None:
    with world(tmp_path) as group:
        first = group.join("first", group_instance_id="one")
        other = group.join("other")
        group.until(lambda: group.shared_by(first, other))
        moved = len(other.told_of("revoked"))
        group.ours.append((time.monotonic(), "first", ["gone"]))
        second = group.join("second", group_instance_id="one")
        group.until(lambda: bool(first.told_of("duplicate")) and group.shared_by(second, other))
        assert first.process.wait(WAIT_S) == 3
        assert len(other.told_of("revoked")) == moved, "nobody else moved"
        judge(group.finish(second, other))
