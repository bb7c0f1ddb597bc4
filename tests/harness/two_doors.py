"""A broker in this process with both its doors open, and batches sent as they are through each."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from harness.local_broker import LocalBroker, local_broker
from logd.broker.doors.flight_door.flight_server import FlightServer
from logd.broker.doors.grpc_door.grpc_server import GrpcServer
from logd.flight.flight_exchange import FlightExchange
from logd.model.seams import TransportStream
from logd.rpc.listener import FLIGHT, PUBLIC
from logd.system.background_tasks import BackgroundTasks
from logd.system.grpc_transport import GrpcTransport
from logd_client.flight_transport import FlightTransport
from logd_proto.v1 import common_pb2, data_pb2, topics_pb2

Way = Literal["unary", "grpc", "flight"]
"""The unary call, and the stream through either door."""
WAYS: tuple[Way, ...] = ("unary", "grpc", "flight")
TIMEOUT_MS = 60_000
_PRODUCE_STREAM = "/logd.v1.DataService/ProduceStream"


class TwoDoors:
    """Made by `two_doors`. `address` is gRPC's, `flight_address` the other's."""

    def __init__(self, local: LocalBroker) -> None:
        self.clock = local.clock
        self.address = self.flight_address = ""
        self._calls = GrpcTransport("two-doors")
        self._streams: dict[Way, TransportStream] = {}

    async def call(self, method: str, request: Any, response: Any) -> Any:
        raw = request.SerializeToString()
        answer = await self._calls.unary(self.address, f"/logd.v1.{method}", raw, TIMEOUT_MS)
        return response.FromString(answer)

    async def topic(self, name: str, partitions: int = 1, **config: str) -> bytes:
        """A new topic's id."""
        request = topics_pb2.CreateTopicRequest(name=name, partitions=partitions, config=config)
        created = await self.call(
            "TopicService/CreateTopic", request, topics_pb2.CreateTopicResponse
        )
        topic_id: bytes = created.topic.topic_id
        return topic_id

    async def init_producer(self, **fields: int) -> tuple[int, int]:
        request = data_pb2.InitProducerRequest(**fields)
        answer = await self.call("DataService/InitProducer", request, data_pb2.InitProducerResponse)
        return answer.producer_id, answer.producer_epoch

    async def produce(self, way: Way, topic_id: bytes, batch: bytes) -> int | common_pb2.Error:
        """Send one batch to partition 0: its base offset (-1: a duplicate that is not remembered),
        or why it is refused."""
        answer: Any
        if way == "unary":
            request = data_pb2.ProduceRequest(
                topic=common_pb2.TopicRef(topic_id=topic_id), batch=batch, partition=0
            )
            sent = await self.call("DataService/Produce", request, data_pb2.ProduceResponse)
            (answer,) = sent.receipts
            offset = answer.offset if answer.HasField("offset") else -1
        else:
            stream = await self._stream(way)
            entry = data_pb2.ProduceEntry(topic_id=topic_id, batch=batch)
            await stream.send(data_pb2.ProduceStreamRequest(entries=[entry]).SerializeToString())
            raw = bytes(await stream.receive() or b"")
            (answer,) = data_pb2.ProduceStreamResponse.FromString(raw).acks
            offset = answer.base_offset if answer.HasField("base_offset") else -1
        return answer.error if answer.HasField("error") else offset

    async def fetch(self, topic_id: bytes, offset: int, **fields: Any) -> data_pb2.FetchResult:
        """The unary call at partition 0."""
        request = data_pb2.FetchRequest(
            topic=common_pb2.TopicRef(topic_id=topic_id),
            positions=[data_pb2.FetchPosition(partition=0, offset=offset)],
            **fields,
        )
        answer = await self.call("DataService/Fetch", request, data_pb2.FetchResponse)
        result: data_pb2.FetchResult
        (result,) = answer.results
        return result

    async def serve(self, stack: AsyncExitStack, local: LocalBroker) -> tuple[str, str]:
        broker = local.broker
        grpc = GrpcServer(broker.dispatcher(PUBLIC), local.clock, BackgroundTasks(local.clock))
        flight = FlightServer(broker.dispatcher(FLIGHT), broker.cluster_id)
        port = await grpc.start("127.0.0.1:0")
        stack.push_async_callback(grpc.stop, 0)
        flight_port = flight.start("127.0.0.1:0")
        stack.push_async_callback(flight.stop, 10)
        stack.push_async_callback(self._close)
        self.address, self.flight_address = f"127.0.0.1:{port}", f"127.0.0.1:{flight_port}"
        return self.address, self.flight_address

    async def _stream(self, way: Way) -> TransportStream:
        if way not in self._streams:
            through = self._calls if way == "grpc" else FlightTransport(self._calls, "two-doors")
            stream = await through.stream(self.address, _PRODUCE_STREAM)
            assert isinstance(stream, FlightExchange) is (way == "flight")
            self._streams[way] = stream
        return self._streams[way]

    async def _close(self) -> None:
        for stream in self._streams.values():
            await stream.close()
        await self._calls.close()


@asynccontextmanager
async def two_doors(directory: Path, seed: int = 1) -> AsyncIterator[TwoDoors]:
    """On the broker's files in `directory`; another `seed` for another start."""
    async with AsyncExitStack() as stack:
        made: list[TwoDoors] = []

        async def serve(local: LocalBroker) -> tuple[str, str]:
            made.append(TwoDoors(local))
            return await made[0].serve(stack, local)

        async with local_broker(directory, seed=seed, serve=serve):
            yield made[0]
            await stack.aclose()
