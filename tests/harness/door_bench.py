"""The calls of a broker in this process, as any listener makes them."""

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.faulty_file_system import FaultyFileSystem
from harness.local_broker import LocalBroker, local_broker
from harness.local_transport import CONTEXT, LocalStream
from logd.broker.core.purgatory import Purgatory
from logd.model.batch_encoder import encode_batch
from logd.rpc.calls import CALLS
from logd_proto.v1 import common_pb2, data_pb2, topics_pb2


class DoorBench:
    """`call("DataService/Produce", request)` and `stream("DataService/FetchStream")`."""

    def __init__(self, local: LocalBroker) -> None:
        self.local = local
        self.clock = local.clock
        self.rpcs = local.transport.dispatcher.rpcs

    async def call(self, method: str, request: Any, **context: Any) -> Any:
        path, asked = f"/logd.v1.{method}", replace(CONTEXT, **context)
        raw = request.SerializeToString()
        answer = await self.local.transport.unary("", path, raw, context=asked)
        return CALLS[path].response_type.FromString(answer)

    async def stream(self, method: str) -> LocalStream:
        return await self.local.transport.stream("", f"/logd.v1.{method}")

    async def topic(self, name: str, partitions: int = 1, **config: str) -> topics_pb2.Topic:
        request = topics_pb2.CreateTopicRequest(name=name, partitions=partitions, config=config)
        response: topics_pb2.CreateTopicResponse
        response = await self.call("TopicService/CreateTopic", request)
        return response.topic

    async def produce(self, topic: str, *records: Any, **fields: Any) -> list[Any]:
        """Plain records by the unary call: bytes are values, else fields of PlainRecord."""
        plain = [r if isinstance(r, dict) else {"value": r} for r in records]
        request = data_pb2.ProduceRequest(
            topic=common_pb2.TopicRef(name=topic),
            records=[data_pb2.PlainRecord(**record) for record in plain],
            **fields,
        )
        return list((await self.call("DataService/Produce", request)).receipts)

    async def produce_batch(self, topic: str, batch: bytes, partition: int = 0) -> list[Any]:
        request = data_pb2.ProduceRequest(
            topic=common_pb2.TopicRef(name=topic), batch=batch, partition=partition
        )
        return list((await self.call("DataService/Produce", request)).receipts)

    async def delete(self, topic: str) -> None:
        ref = common_pb2.TopicRef(name=topic)
        await self.call("TopicService/DeleteTopic", topics_pb2.DeleteTopicRequest(topic=ref))

    @property
    def data_service(self) -> Any:
        """The service itself, for what a test must change in it."""
        handler: Any = self.rpcs["/logd.v1.DataService/FetchStream"].handler
        return inspect.unwrap(handler).__self__

    @property
    def purgatory(self) -> Purgatory:
        found: Purgatory = self.data_service._partitions.purgatory
        return found

    async def fetch(self, topic: str, *positions: tuple[int, int], **fields: Any) -> list[Any]:
        """Positions are partitions and offsets."""
        request = data_pb2.FetchRequest(
            topic=common_pb2.TopicRef(name=topic),
            positions=[data_pb2.FetchPosition(partition=p, offset=o) for p, o in positions],
            **fields,
        )
        return list((await self.call("DataService/Fetch", request)).results)

    def batch(self, *values: bytes, **fields: Any) -> bytes:
        return encode_batch(list(values), timestamps_ms=self.clock.wall_ms(), **fields)


@asynccontextmanager
async def door_bench(
    directory: Path, file_system: FaultyFileSystem | None = None
) -> AsyncIterator[DoorBench]:
    async with local_broker(directory, file_system) as local:
        yield DoorBench(local)
