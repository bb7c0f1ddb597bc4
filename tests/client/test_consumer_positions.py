"""The consumer's state machine against a fetch session that keeps the broker's rules.

The property: whatever the order of requests, answers, broken streams, seeks, pauses and rewinds,
the application receives from its position on each record of the log once and in order.
"""

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harness.fake_fetch_broker import FakeFetchSession, FakeLog
from logd.wire.fetch_response import read_fetch_response
from logd_client.consumer_fetcher import FetchLimits, serialize_request
from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.partition_position import PartitionPosition
from logd_client.record import Record
from logd_proto.v1 import data_pb2

TOPIC, TOPIC_ID, PARTITIONS = "t", b"t" * 16, 3
BUFFER_BYTES = 20_000
LIMITS = FetchLimits(1, 15_000, 7_000, 500, data_pb2.ISOLATION_READ_COMMITTED)

partitions = st.integers(0, PARTITIONS - 1)


class ConsumerMachine(RuleBasedStateMachine):
    """`expected[p]` is the model: the position as the application understands it."""

    @initialize()
    def start(self) -> None:
        self.logs = [FakeLog() for _ in range(PARTITIONS)]
        self.positions = ConsumerPositions(
            auto_offset_reset="earliest",
            on_records_lost="go_on",
            skip_undecodable=False,
            buffer_bytes_max=BUFFER_BYTES,
            max_wait_ms=500,
            retry_backoff_ms=10,
        )
        self.assigned: list[PartitionPosition] = []
        self.expected = [0] * PARTITIONS
        self.done = [0] * PARTITIONS
        self.paused: set[int] = set()
        self.withheld: set[int] = set()
        self.now_ms = 1_000
        for number in range(PARTITIONS):
            at = self.positions.assign(TOPIC, TOPIC_ID, number)
            self.assigned.append(at)
            self.positions.place(at, 0)
        self.positions.started = True
        self.connect()
        for number in range(PARTITIONS):
            for count in (30, 300, 30, 60, 3, 60, 2):
                self.append(number, count, 0)

    def connect(self) -> None:
        self.positions.restart_session()
        self.session = FakeFetchSession(lambda _, number: self.logs[number])
        self.requests: deque[data_pb2.FetchStreamRequest] = deque()
        self.answers: deque[bytes] = deque()
        self.in_parts = False

    @rule(number=partitions, count=st.integers(1, 12), gap=st.sampled_from([0, 0, 0, 5]))
    def append(self, number: int, count: int, gap: int) -> None:
        log = self.logs[number]
        base = log.end + gap
        log.append([b"v%d" % offset for offset in range(base, base + count)], gap=gap)

    @rule()
    def send_request(self) -> None:
        plan = self.positions.next_request(self.now_ms)
        if plan is not None:
            message = serialize_request(plan, LIMITS)
            self.requests.append(data_pb2.FetchStreamRequest.FromString(message))

    @rule(hurry=st.booleans())
    def serve(self, hurry: bool = False) -> None:
        """The broker answers its oldest request, or gives a part: with data, or when its wait ends.
        `hurry`: something else is asked, so the part is the last."""
        if self.requests:
            request = self.requests[0]
            if not self.in_parts:
                self.session.remember(request)
            answer = self.session.answer(request, part_bytes=4_000, hurry=hurry)
            self.answers.append(answer.SerializeToString())
            self.in_parts = answer.more
            if not self.in_parts:
                self.requests.popleft()

    @rule(elapsed_ms=st.sampled_from([0, 60, 600]))
    def receive(self, elapsed_ms: int) -> None:
        self.now_ms += elapsed_ms
        if self.answers:
            answer = read_fetch_response(self.answers.popleft())
            self.positions.accept(
                answer.correlation_id,
                answer.fetched,
                more=answer.more,
                throttle_ms=0,
                now_ms=self.now_ms,
            )

    @rule(sent=st.integers(0, 2), served=st.integers(0, 2), received=st.integers(0, 2))
    def exchange(self, sent: int, served: int, received: int) -> None:
        """Some of each, so that much data flows, and answers stay behind."""
        for _ in range(2):
            for _ in range(sent):
                self.send_request()
            for _ in range(served):
                self.serve()
            for _ in range(received):
                self.receive(1)

    @rule()
    def lose_connection(self) -> None:
        self.connect()

    @rule(number=partitions, share=st.floats(0, 1))
    def seek(self, number: int, share: float) -> None:
        offset = round(self.logs[number].end * share)
        self.positions.seek(TOPIC, number, offset)
        self.expected[number] = self.done[number] = offset

    @rule(number=partitions, share=st.sampled_from([0.0, 0.2, 0.9]), told=st.booleans())
    def seek_before_an_answer(self, number: int, share: float, told: bool) -> None:
        """The answer on its way speaks of the old position, the broker told of the new or not."""
        self.exchange(1, 1, 0)
        self.seek(number, share)
        if told:
            self.send_request()
        self.receive(0)

    @rule(number=partitions)
    def pause(self, number: int) -> None:
        self.positions.pause(TOPIC, number)
        self.paused.add(number)

    @rule(number=partitions)
    def resume(self, number: int) -> None:
        self.positions.resume(TOPIC, number)
        self.paused.discard(number)

    @rule(shares=st.tuples(*[st.floats(0, 1)] * PARTITIONS))
    def rewind_group(self, shares: tuple[float, ...]) -> None:
        self.positions.forget_all()
        for number, share in enumerate(shares):
            offset = round(self.logs[number].end * share)
            self.positions.place(self.assigned[number], offset)
            self.expected[number] = self.done[number] = offset

    @rule(number=partitions)
    def withhold(self, number: int) -> None:
        """It is revoked: what is in hand stays so until the application comes back."""
        in_hand = self.positions.in_hand(self.assigned[number])
        self.positions.withhold(self.assigned[number])
        self.withheld.add(number)
        assert self.positions.in_hand(self.assigned[number]) == in_hand

    @rule(number=partitions)
    def release(self, number: int) -> None:
        self.positions.release(self.assigned[number])
        self.withheld.discard(number)

    @rule(number=partitions, share=st.floats(0, 1), told=st.booleans())
    def take_away(self, number: int, share: float, told: bool) -> None:
        """It goes to another member, and comes back from there."""
        gone = self.assigned[number]
        self.positions.unassign(gone)
        self.positions.unassign(gone)
        if told:
            self.exchange(1, 1, 1)
        self.assigned[number] = self.positions.assign(TOPIC, TOPIC_ID, number)
        offset = round(self.logs[number].end * share)
        self.positions.place(self.assigned[number], offset)
        self.expected[number] = self.done[number] = offset
        self.paused.discard(number)
        self.withheld.discard(number)
        self.positions.release(gone)
        assert not self.positions.in_hand(gone)

    @rule(count=st.sampled_from([1, 2, 40, 700]))
    def poll(self, count: int) -> None:
        self.come_back()
        cursor = self.positions.current_cursor()
        if cursor is not None:
            cursor.looping = False
            for record in cursor.take(count):
                self.received(record)

    @rule(
        count=st.sampled_from([1, 2, 40, 700]),
        interrupt=st.sampled_from(["", "pause", "seek", "rewind", "withhold", "take away"]),
        at=st.sampled_from([1, 3, 255, 256, 257]),
    )
    def iterate(self, count: int, interrupt: str, at: int) -> None:
        """A loop that is left after `count` records, and interferes after `at`."""
        self.come_back()
        cursor = self.positions.current_cursor()
        if cursor is None:
            return
        cursor.looping = True
        received = 0
        while received < count and (chunk := cursor.next_chunk()) is not None:
            for record in chunk:
                self.done[record.partition] = self.expected[record.partition]
                self.received(record)
                self.commits_never_run_ahead()
                received += 1
                if received == at:
                    self.interfere(interrupt, record.partition)
                if received == count:
                    break

    def interfere(self, how: str, number: int) -> None:
        if how == "pause":
            self.pause(number)
        elif how == "seek":
            self.seek(number, 0.5)
        elif how == "rewind":
            self.rewind_group((0.1, 0.5, 0.9))
        elif how == "withhold":
            self.withhold(number)
        elif how == "take away":
            self.take_away(number, 0.5, True)

    @rule()
    def take_batch(self) -> None:
        self.come_back()
        batch = self.positions.next_batch()
        if batch is not None:
            assert batch.values == [record.value for record in batch]
            for record in batch:
                self.received(record)
            assert self.positions.position(self.assigned[batch.partition]) == batch.next_offset

    def come_back(self) -> None:
        self.positions.acknowledge()
        self.done = list(self.expected)
        for at, offset in self.positions.committable():
            assert offset == self.positions.position(at), "all that was received is done"

    def received(self, record: Record) -> None:
        number = record.partition
        assert number not in self.paused, "a paused partition was delivered"
        assert number not in self.withheld, "a revoked partition was delivered"
        assert record.offset == self.next_in_log(number), "lost, doubled or out of order"
        assert record.value == b"v%d" % record.offset and record.key == b"k%d" % record.offset
        assert record.timestamp_ms == 1000 + record.offset
        self.expected[number] = record.offset + 1

    def next_in_log(self, number: int) -> int:
        """The offset of the next record that exists at or after the expected position."""
        wanted = self.expected[number]
        return min(max(base, wanted) for base, end, _ in self.logs[number].batches if end > wanted)

    @invariant()
    def commits_never_run_ahead(self) -> None:
        for at, offset in self.positions.committable():
            # Between the two lie only offsets without a record.
            assert offset <= self.done[at.partition] or not self.records_between(
                at.partition, self.done[at.partition], offset
            )

    def records_between(self, number: int, start: int, end: int) -> bool:
        return any(
            base < end and next_offset > start for base, next_offset, _ in self.logs[number].batches
        )

    @invariant()
    def buffer_is_bounded(self) -> None:
        answers = 4 * LIMITS.max_bytes + sum(len(b) for log in self.logs for *_, b in log.batches)
        unpaused = sum(at.buffered_bytes for at in self.assigned if not at.paused)
        assert self.positions.turns.buffered_bytes == unpaused
        assert unpaused <= BUFFER_BYTES + answers

    def teardown(self) -> None:
        """Everything that was appended arrives in the end."""
        if not hasattr(self, "logs"):
            return
        for number in range(PARTITIONS):
            self.resume(number)
            self.release(number)
        for _ in range(200):
            self.send_request()
            self.serve()
            self.receive(100)
            self.take_batch()
        missing = [
            number
            for number, log in enumerate(self.logs)
            if self.records_between(number, self.expected[number], log.end)
        ]
        assert not missing, "records were lost, or the session stands still"


TestConsumerMachine = pytest.mark.slow(ConsumerMachine.TestCase)
TestConsumerMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
