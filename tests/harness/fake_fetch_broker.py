"""A broker for tests of the consumer: logs in memory, fetch sessions, groups; as a Transport.

It keeps to the rules of the real one: a stream remembers positions, each request gets one answer,
in parts if it takes them, a new request ends the wait of the one before.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from harness.fake_group_coordinator import FakeGroup, FakeGroupCoordinator
from logd.model.batch_encoder import encode_batch
from logd.model.errors import (
    BrokerUnreachable,
    GroupRewound,
    LogdError,
    OffsetOutOfRange,
    UnknownTopic,
)
from logd.model.key_ranges import HASH_END, even_ranges
from logd.model.record_batch import Codec, stamp
from logd.model.seams import TransportStream
from logd_proto.v1 import cluster_pb2, common_pb2, data_pb2, groups_pb2, topics_pb2


def stored_batch(
    values: Sequence[bytes | None],
    base_offset: int,
    *,
    codec: Codec = Codec.NONE,
    append_ms: int = 5000,
) -> bytes:
    """A batch as the leader stores it: keys b'k<offset>', timestamps 1000 + offset."""
    offsets = range(base_offset, base_offset + len(values))
    batch = encode_batch(
        values,
        keys=[b"k%d" % offset for offset in offsets],
        timestamps_ms=[1000 + offset for offset in offsets],
        codec=codec,
    )
    header = stamp(
        batch,
        leader_epoch=3,
        base_offset=base_offset,
        append_timestamp_ms=append_ms,
        synced_hint=0,
    )
    return header + batch[len(header) :]


class FakeLog:
    """One partition: (base_offset, next_offset, batch) in order. Offsets may have gaps."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int, bytes]] = []
        self.start = 0
        self.end = 0
        self.errors: dict[int, LogdError] = {}
        """offset -> what a fetch at it answers."""

    def append(
        self,
        values: Sequence[bytes | None],
        *,
        gap: int = 0,
        raw: bytes = b"",
        append_ms: int = 5000,
    ) -> None:
        """A batch, `gap` offsets after the end; `raw` in place of the encoded one."""
        base = self.end + gap
        self.end = base + len(values)
        self.batches.append(
            (base, self.end, raw or stored_batch(values, base, append_ms=append_ms))
        )

    def read(self, offset: int, max_bytes: int) -> data_pb2.FetchResult | None:
        """As the broker: whole batches from the one that holds `offset`; None: nothing to say."""
        result = data_pb2.FetchResult(
            high_watermark=self.end, log_start_offset=self.start, next_offset=offset
        )
        error: LogdError | None = self.errors.get(offset)
        if not self.start <= offset <= self.end:
            error = OffsetOutOfRange(
                f"{offset} is not in {self.start} to {self.end}",
                log_start_offset=self.start,
                high_watermark=self.end,
            )
        if error is not None:
            result.error.reason, result.error.message = error.reason, error.message
            result.error.details.update(error.details)
            result.next_offset = int(error.details.get("next_offset", offset))
            return result
        taken = b""
        for base_offset, next_offset, batch in self.batches:
            if taken and base_offset in self.errors:
                break
            if next_offset > offset and (not taken or len(taken) + len(batch) <= max_bytes):
                taken += batch
                result.next_offset = next_offset
            elif taken:
                break
        result.batches = taken
        return result if taken else None


class FakeFetchSession:
    """What one stream has been told."""

    def __init__(self, logs: Callable[[bytes, int], FakeLog]) -> None:
        self._logs = logs
        self._left: dict[int, int] = {}
        self.positions: dict[tuple[bytes, int], data_pb2.FetchPartition] = {}

    def remember(self, request: data_pb2.FetchStreamRequest) -> None:
        for gone in request.forget:
            self.positions.pop((gone.topic_id, gone.partition), None)
        for asked in request.partitions:
            self.positions.pop((asked.topic_id, asked.partition), None)
            self.positions[asked.topic_id, asked.partition] = asked

    def answer(
        self,
        request: data_pb2.FetchStreamRequest,
        *,
        part_bytes: int = 1 << 20,
        hurry: bool = False,
    ) -> data_pb2.FetchStreamResponse:
        """The answer, or its next part. `hurry`: it shall be the last."""
        left = self._left.pop(request.correlation_id, request.max_bytes)
        response = data_pb2.FetchStreamResponse(correlation_id=request.correlation_id)
        room = min(left, part_bytes) if request.in_parts else left
        for (topic_id, number), asked in self.positions.items():
            result = self._logs(topic_id, number).read(asked.offset, min(room, asked.max_bytes))
            if result is not None and room > 0:
                result.topic_id, result.partition = topic_id, number
                room -= len(result.batches)
                left -= len(result.batches)
                response.results.append(result)
        failed = any(each.HasField("error") for each in response.results)
        some = any(each.batches for each in response.results)
        if request.in_parts and left > 0 and some and not failed and not hurry:
            response.more = True
            self._left[request.correlation_id] = left
        for each in response.results if request.in_parts else ():
            if not each.HasField("error"):
                key = (each.topic_id, each.partition)
                moved = data_pb2.FetchPartition()
                moved.CopyFrom(self.positions.pop(key))
                moved.offset = each.next_offset
                self.positions[key] = moved
        return response


class FakeFetchStream:
    """Implements `TransportStream`."""

    def __init__(self, broker: "FakeFetchBroker") -> None:
        self._broker = broker
        self._session = FakeFetchSession(broker.log_by_id)
        self._requests: deque[data_pb2.FetchStreamRequest] = deque()
        self._in_parts: data_pb2.FetchStreamRequest | None = None
        self._changed = asyncio.Event()
        self.broken = False

    async def send(self, message: bytes) -> None:
        self._check()
        self._requests.append(data_pb2.FetchStreamRequest.FromString(message))
        self._broker.requests += 1
        self.notify()

    async def receive(self) -> bytes | None:
        request = self._in_parts
        if request is None:
            while not self._requests:
                await self._change(None)
            request = self._requests.popleft()
            self._session.remember(request)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.max_wait_ms / 1000
        while True:
            self._check()
            if self._has_data(request) or self._requests or loop.time() >= deadline:
                return self._answer(request)
            await self._change(deadline - loop.time())

    def _has_data(self, request: data_pb2.FetchStreamRequest) -> bool:
        return any(
            self._broker.log_by_id(topic_id, number).read(asked.offset, asked.max_bytes)
            for (topic_id, number), asked in self._session.positions.items()
        )

    def _answer(self, request: data_pb2.FetchStreamRequest) -> bytes:
        response = self._session.answer(request, hurry=bool(self._requests))
        self._in_parts = request if response.more else None
        return response.SerializeToString()

    async def close(self) -> None:
        self._broker.streams.discard(self)

    def notify(self) -> None:
        self._changed.set()

    def _check(self) -> None:
        if self.broken or self._broker.down:
            raise BrokerUnreachable("the fake connection is broken")

    async def _change(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()
        self._check()


class FakeFetchBroker:
    """Implements `Transport`. `down`: nobody answers. `unary_failures` are raised first."""

    def __init__(self) -> None:
        self.topics: dict[str, list[FakeLog]] = {}
        self.coordinator = FakeGroupCoordinator(self._partitions, self._topic_name)
        self.streams: set[FakeFetchStream] = set()
        self.requests = 0
        self.down = False
        self.also_consumed_by = ""
        self.unary_failures: deque[LogdError] = deque()

    def create_topic(self, name: str, partitions: int = 1) -> list[FakeLog]:
        self.topics[name] = [FakeLog() for _ in range(partitions)]
        return self.topics[name]

    def append(self, topic: str, partition: int, values: Sequence[bytes | None]) -> None:
        self.topics[topic][partition].append(values)
        self.notify()

    def group(self, name: str) -> FakeGroup:
        return self.coordinator.group(name)

    def rewind(self, group: str, offsets: dict[tuple[str, int], int]) -> None:
        found = self.group(group)
        found.rewind_epoch += 1
        for (topic, partition), offset in offsets.items():
            found.offsets[self.topic_id(topic), partition] = offset
        self.coordinator.settle(found)

    def break_streams(self) -> None:
        for stream in list(self.streams):
            stream.broken = True
        self.notify()
        self.coordinator.break_streams()

    def notify(self) -> None:
        for stream in list(self.streams):
            stream.notify()

    def topic_id(self, name: str) -> bytes:
        return name.encode().ljust(16, b"\0")

    def log_by_id(self, topic_id: bytes, partition: int) -> FakeLog:
        return self.topics[self._topic_name(topic_id)][partition]

    def _topic_name(self, topic_id: bytes) -> str:
        return topic_id.rstrip(b"\0").decode()

    def _partitions(self, topic: str) -> list[tuple[bytes, int]]:
        return [(self.topic_id(topic), number) for number in range(len(self.topics[topic]))]

    async def stream(self, address: str, method: str) -> TransportStream:
        if method.endswith("GroupService/Session"):
            if self.down:
                raise BrokerUnreachable("the fake broker is down")
            return self.coordinator.open()
        stream = FakeFetchStream(self)
        self.streams.add(stream)
        return stream

    async def unary(self, address: str, method: str, request: bytes, timeout_ms: int) -> bytes:
        await asyncio.sleep(0)
        if self.down:
            raise BrokerUnreachable("the fake broker is down")
        if self.unary_failures:
            raise self.unary_failures.popleft()
        handlers: dict[str, Callable[[bytes], bytes]] = {
            "DescribeTopic": self._describe_topic,
            "ListOffsets": self._list_offsets,
            "FetchOffsets": self._fetch_offsets,
            "CommitOffsets": self._commit_offsets,
            "GetClusterInfo": lambda _: cluster_pb2.GetClusterInfoResponse().SerializeToString(),
        }
        return handlers[method.rpartition("/")[2]](request)

    async def close(self) -> None:
        self.break_streams()

    def _describe_topic(self, message: bytes) -> bytes:
        name = topics_pb2.DescribeTopicRequest.FromString(message).topic.name
        if name not in self.topics:
            raise UnknownTopic(f"no topic '{name}'", topic=name)
        ranges = even_ranges(len(self.topics[name]))
        assert ranges[-1].hash_hi == HASH_END
        topic = topics_pb2.Topic(name=name, topic_id=self.topic_id(name))
        for number, (low, high) in enumerate(ranges):
            topic.partitions.add(partition=number, hash_lo=low, hash_hi=high)
        return topics_pb2.DescribeTopicResponse(topic=topic).SerializeToString()

    def _list_offsets(self, message: bytes) -> bytes:
        request = data_pb2.ListOffsetsRequest.FromString(message)
        response = data_pb2.ListOffsetsResponse()
        for query in request.queries:
            log = self.log_by_id(request.topic.topic_id, query.partition)
            known = {"earliest": log.start, "offset": query.at.offset}
            offset = known.get(query.at.WhichOneof("spec") or "", log.end)
            response.answers.add(partition=query.partition, offset=offset)
        return response.SerializeToString()

    def _fetch_offsets(self, message: bytes) -> bytes:
        request = groups_pb2.FetchOffsetsRequest.FromString(message)
        group = self.group(request.group)
        response = groups_pb2.FetchOffsetsResponse(
            rewind_epoch=group.rewind_epoch, also_consumed_by=self.also_consumed_by
        )
        for topic in request.topics:
            for number in topic.partitions:
                found = response.offsets.add(topic_id=topic.topic.topic_id, partition=number)
                offset = group.offsets.get((topic.topic.topic_id, number))
                if offset is not None:
                    found.offset = offset
        return response.SerializeToString()

    def _commit_offsets(self, message: bytes) -> bytes:
        request = groups_pb2.CommitOffsetsRequest.FromString(message)
        group = self.group(request.group)
        group.commits.append(request)
        if request.rewind_epoch != group.rewind_epoch:
            raise GroupRewound("the group was rewound", rewind_epoch=group.rewind_epoch)
        response = groups_pb2.CommitOffsetsResponse(rewind_epoch=group.rewind_epoch)
        for commit in request.offsets:
            key = (commit.topic_id, commit.partition)
            result = response.results.add(topic_id=commit.topic_id, partition=commit.partition)
            member_id = request.consumer_id if request.HasField("member_epoch") else None
            fenced = group.refusal(key, member_id)
            if fenced is not None:
                result.error.CopyFrom(fenced)
            elif commit.offset < group.offsets.get(key, 0) and not request.allow_rewind:
                result.error.CopyFrom(common_pb2.Error(reason="COMMIT_BEHIND", message="behind"))
            else:
                group.offsets[key] = commit.offset
        return response.SerializeToString()
