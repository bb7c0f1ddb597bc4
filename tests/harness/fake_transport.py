"""A Transport to a FakeBroker in the same process, with connections that can be made to fail."""

import asyncio
from collections.abc import Callable

from harness.fake_broker import FakeBroker, refusal
from logd.model.errors import BrokerUnreachable, LogdError, RequestTimeout
from logd_proto.v1 import cluster_pb2, data_pb2, topics_pb2

Fault = Callable[[data_pb2.ProduceEntry], LogdError | None]


class FakeProduceStream:
    """Implements `TransportStream` for ProduceStream."""

    def __init__(self, transport: "FakeTransport") -> None:
        self._transport = transport
        self._answers: asyncio.Queue[bytes | LogdError] = asyncio.Queue()
        self._broken: LogdError | None = None
        self.sent = 0

    async def send(self, message: bytes) -> None:
        if self._broken is not None:
            raise self._broken
        self.sent += 1
        entries = data_pb2.ProduceStreamRequest.FromString(message).entries
        acks = [self._transport.answer(entry) for entry in entries]
        self._transport.messages.append(len(entries))
        self._transport.produced.set()
        if self._transport.holds_acks:
            self._transport.held.append((self, acks))
        else:
            self.acknowledge(acks)

    def acknowledge(self, acks: list[data_pb2.ProduceAck]) -> None:
        response = data_pb2.ProduceStreamResponse(
            acks=acks, throttle_ms=self._transport.throttle_ms
        )
        self._answers.put_nowait(response.SerializeToString())

    def fail(self, error: LogdError) -> None:
        self._broken = error
        self._answers.put_nowait(error)

    async def receive(self) -> bytes | None:
        answer = await self._answers.get()
        if isinstance(answer, LogdError):
            self._answers.put_nowait(answer)
            raise answer
        return answer

    async def close(self) -> None:
        if self._broken is None:
            self.fail(BrokerUnreachable("closed here"))


class FakeTransport:
    """Implements `Transport`.

    Unary calls meet `refusals`, one each, and calls named in `lost_calls` are never answered.
    `fault` may refuse an entry before it reaches the broker. With `holds_acks` appended batches are
    not acknowledged before release_acks(). `break_streams` loses held acknowledgements. Each answer
    asks for a pause of `throttle_ms`.
    """

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.is_down = False
        self.down_addresses: set[str] = set()
        self.refusals: list[LogdError] = []
        self.lost_calls: set[str] = set()
        self.holds_acks = False
        self.throttle_ms = 0
        self.fault: Fault = lambda entry: None
        self.held: list[tuple[FakeProduceStream, list[data_pb2.ProduceAck]]] = []
        self.calls: list[tuple[str, str]] = []
        self.messages: list[int] = []
        self.produced = asyncio.Event()
        self.streams: list[FakeProduceStream] = []
        self.closed = False

    async def unary(self, address: str, method: str, request: bytes, timeout_ms: int) -> bytes:
        name = method.rpartition("/")[2]
        self.calls.append((address, name))
        await asyncio.sleep(0)
        self._check_up(address)
        if self.refusals:
            raise self.refusals.pop(0)
        if name in self.lost_calls:
            raise RequestTimeout(f"{name} was not answered by {address} in time")
        if name == "DescribeTopic":
            wanted = topics_pb2.DescribeTopicRequest.FromString(request).topic.name
            topic = self.broker.describe_topic(wanted)
            return topics_pb2.DescribeTopicResponse(topic=topic).SerializeToString()
        if name == "InitProducer":
            asked = data_pb2.InitProducerRequest.FromString(request)
            return self.broker.init_producer(asked).SerializeToString()
        assert name == "GetClusterInfo", name
        return cluster_pb2.GetClusterInfoResponse(cluster_id="fake").SerializeToString()

    async def stream(self, address: str, method: str) -> FakeProduceStream:
        assert method.endswith("/ProduceStream"), method
        self.calls.append((address, "ProduceStream"))
        self._check_up(address)
        self.streams.append(FakeProduceStream(self))
        return self.streams[-1]

    async def close(self) -> None:
        self.closed = True

    def answer(self, entry: data_pb2.ProduceEntry) -> data_pb2.ProduceAck:
        error = self.fault(entry)
        return refusal(entry.correlation_id, error) if error else self.broker.append(entry)

    def release_acks(self) -> None:
        held, self.held = self.held, []
        for stream, acks in held:
            stream.acknowledge(acks)

    def break_streams(self) -> None:
        """Cut every stream; what was appended stays appended, its acknowledgements are lost."""
        self.held.clear()
        streams, self.streams = self.streams, []
        for stream in streams:
            stream.fail(BrokerUnreachable("the connection was cut"))

    def _check_up(self, address: str) -> None:
        if self.is_down or address in self.down_addresses:
            raise BrokerUnreachable(f"no broker answers at {address}", address=address)
