"""DataService: thin handlers between the wire and the ports."""

import asyncio
from collections.abc import Awaitable, Sequence

from logd.broker.doors.grpc_door.fetch_results import fetch_result_head
from logd.broker.doors.grpc_door.fetch_stream import (
    FETCH_BYTES_DEFAULT,
    FETCH_BYTES_MAX,
    MAX_WAIT_MS_MAX,
    FetchStream,
)
from logd.broker.doors.grpc_door.plain_appends import PlainAppends
from logd.broker.doors.grpc_door.plain_fetches import PlainFetches
from logd.broker.doors.grpc_door.produce_stream import (
    ProduceStream,
    to_ack_timeout_ms,
    to_acks,
)
from logd.broker.doors.grpc_door.topic_refs import resolve_topic, to_offset_spec
from logd.broker.ports import (
    Acks,
    Fetched,
    FetchInterrupt,
    FetchPosition,
    FetchWait,
    Partitions,
    ProducerIds,
    Receipt,
    Topics,
)
from logd.model.errors import InvalidConfig, LogdError, StalePartitioning
from logd.model.ids import Offset, PartitionId, ProducerEpoch, ProducerId, TopicPartition
from logd.model.key_ranges import KeyRouter
from logd.model.seams import Buffer, Clock, Offload
from logd.model.topic import PARTITIONS_PER_TOPIC_MAX, Topic
from logd.rpc.rpc import Authorizer, Refused, RequestContext, ServerStream
from logd.wire.proto_errors import to_proto_error
from logd_proto.v1 import data_pb2

PLAIN_RECORDS_MAX = 10_000
"""Plain records are for small use: each costs the broker an encode."""
DEADLINE_MARGIN_MS = 500
"""A long poll answers so much before the client's deadline."""


class DataService:
    """Produce, Fetch, ListOffsets, InitProducer."""

    def __init__(
        self,
        topics: Topics,
        partitions: Partitions,
        producer_ids: ProducerIds,
        authorizer: Authorizer,
        clock: Clock,
        pool: Offload,
        refused: Refused,
    ) -> None:
        """`pool` decodes for plain fetches. `refused` is told of errors of streams' entries."""
        self._refused = refused
        self._topics = topics
        self._partitions = partitions
        self._producer_ids = producer_ids
        self._authorizer = authorizer
        self._clock = clock
        self._plain_fetches = PlainFetches(pool)
        self._plain_appends = PlainAppends(partitions, clock)
        self._rotation = 0

    def produce_stream(self, context: RequestContext, stream: ServerStream) -> Awaitable[None]:
        return ProduceStream(
            self._partitions, self._topics, self._authorizer, context, stream, self._refused
        ).run()

    def fetch_stream(self, context: RequestContext, stream: ServerStream) -> Awaitable[None]:
        return FetchStream(
            self._partitions, self._topics, self._authorizer, context, stream, self._refused
        ).run()

    async def produce(
        self, context: RequestContext, request: data_pb2.ProduceRequest
    ) -> data_pb2.ProduceResponse:
        topic = resolve_topic(self._topics, request.topic)
        if bool(request.batch) == bool(request.records):
            raise InvalidConfig("send records or one encoded batch, and not both", field="records")
        if len(request.records) > PLAIN_RECORDS_MAX:
            raise InvalidConfig(
                f"{len(request.records)} records at once; plain records are at most "
                f"{PLAIN_RECORDS_MAX} a call",
                field="records",
            )
        acks, timeout_ms = to_acks(request.acks), to_ack_timeout_ms(request.timeout_ms)
        if request.batch:
            if not request.HasField("partition"):
                raise InvalidConfig("an encoded batch needs its partition", field="partition")
            where = TopicPartition(topic.topic_id, PartitionId(request.partition))
            receipt = await self._append(where, request.batch, acks, timeout_ms)
            return data_pb2.ProduceResponse(receipts=[_to_receipt(request.partition, 0, receipt)])
        receipts = await self._append_plain(topic, request, acks, timeout_ms)
        return data_pb2.ProduceResponse(
            receipts=[receipts[index] for index in range(len(request.records))]
        )

    async def _append_plain(
        self, topic: Topic, request: data_pb2.ProduceRequest, acks: Acks, timeout_ms: int
    ) -> dict[int, data_pb2.ProduceReceipt]:
        """By the record's place in the request. What was routed just before the topic was split
        is refused, whole batches of it, and routed again."""
        receipts: dict[int, data_pb2.ProduceReceipt] = {}
        waiting = list(range(len(request.records)))
        while waiting:
            epoch = None if request.HasField("partition") else topic.partitioning_epoch
            by_partition: dict[int, list[int]] = {}
            for index, partition in zip(waiting, self._route(topic, request, waiting), strict=True):
                by_partition.setdefault(partition, []).append(index)
            appended = await asyncio.gather(
                *(
                    self._plain_appends.append(
                        TopicPartition(topic.topic_id, PartitionId(partition)),
                        [request.records[index] for index in indexes],
                        acks=acks,
                        timeout_ms=timeout_ms,
                        partitioning_epoch=epoch,
                    )
                    for partition, indexes in by_partition.items()
                )
            )
            waiting = []
            for (partition, indexes), (result, first) in zip(
                by_partition.items(), appended, strict=True
            ):
                if isinstance(result, StalePartitioning):
                    waiting += indexes
                    continue
                for delta, index in enumerate(indexes, first):
                    receipts[index] = _to_receipt(partition, delta, result)
            if waiting:
                waiting.sort()
                topic = self._topics.by_id(topic.topic_id)
        return receipts

    def _route(
        self, topic: Topic, request: data_pb2.ProduceRequest, indexes: Sequence[int]
    ) -> list[int]:
        """The partition of these records: the named one, by key, or one for all without a key."""
        if request.HasField("partition"):
            topic.partition(request.partition)
            return [request.partition] * len(indexes)
        open_partitions = [i for i, p in enumerate(topic.partitions) if not p.sealed]
        self._rotation += 1
        keyless = open_partitions[self._rotation % len(open_partitions)]
        router = KeyRouter(
            [p.key_range for p in topic.partitions],
            [i for i, p in enumerate(topic.partitions) if p.sealed],
        )
        records = (request.records[index] for index in indexes)
        return [
            router.partition_of(record.key) if record.HasField("key") else keyless
            for record in records
        ]

    async def _append(
        self, where: TopicPartition, batch: Buffer, acks: Acks, timeout_ms: int
    ) -> Receipt | LogdError:
        answer: asyncio.Future[Receipt | LogdError]
        answer = asyncio.get_running_loop().create_future()

        def done(result: Receipt | LogdError) -> None:
            if not answer.done():
                answer.set_result(result)

        try:
            await self._partitions.open(where)
        except LogdError as error:
            return error
        self._partitions.append(where, batch, done, acks=acks, timeout_ms=timeout_ms)
        return await answer

    async def fetch(
        self, context: RequestContext, request: data_pb2.FetchRequest
    ) -> data_pb2.FetchResponse:
        topic = resolve_topic(self._topics, request.topic)
        positions = _positions(topic, request)
        wait = self._wait_of(context, request)
        fetched = await self._partitions.fetch(list(positions.values()), wait, FetchInterrupt())
        if request.encoded:  # no await in here: the views would not outlive it
            results = [_encoded(each) for each in fetched]
        else:
            results = await self._plain_fetches.decode(fetched, positions, wait.max_bytes)
        answers = {
            each.topic_partition: result for each, result in zip(fetched, results, strict=True)
        }
        return data_pb2.FetchResponse(
            results=[
                answers.get(topic_partition) or await self._nothing_new(position)
                for topic_partition, position in positions.items()
            ]
        )

    def _wait_of(self, context: RequestContext, request: data_pb2.FetchRequest) -> FetchWait:
        max_wait_ms = min(request.max_wait_ms, MAX_WAIT_MS_MAX)
        if context.deadline_ms is not None:
            left_ms = context.deadline_ms - self._clock.monotonic_ms() - DEADLINE_MARGIN_MS
            max_wait_ms = max(0, min(max_wait_ms, left_ms))
        return FetchWait(
            min_bytes=request.min_bytes,
            max_bytes=min(request.max_bytes or FETCH_BYTES_DEFAULT, FETCH_BYTES_MAX),
            max_wait_ms=max_wait_ms,
        )

    async def _nothing_new(self, position: FetchPosition) -> data_pb2.FetchResult:
        try:
            status = await self._partitions.status(position.topic_partition)
        except LogdError as error:
            refused = Fetched.refused(position.topic_partition, position.offset, error)
            return fetch_result_head(refused)
        return data_pb2.FetchResult(
            topic_id=position.topic_partition.topic_id,
            partition=position.topic_partition.partition,
            high_watermark=status.high_watermark,
            log_start_offset=status.log_start_offset,
            last_stable_offset=status.high_watermark,
            next_offset=position.offset,
            leader_epoch=status.leader_epoch,
        )

    async def list_offsets(
        self, context: RequestContext, request: data_pb2.ListOffsetsRequest
    ) -> data_pb2.ListOffsetsResponse:
        topic = resolve_topic(self._topics, request.topic)
        answers = [await self._find_offset(topic, query) for query in request.queries]
        return data_pb2.ListOffsetsResponse(answers=answers)

    async def _find_offset(
        self, topic: Topic, query: data_pb2.OffsetQuery
    ) -> data_pb2.OffsetAnswer:
        answer = data_pb2.OffsetAnswer(partition=query.partition)
        topic_partition = TopicPartition(topic.topic_id, PartitionId(query.partition))
        try:
            spec = to_offset_spec(query.at)
            found = await self._partitions.find_offset(topic_partition, spec)
        except LogdError as error:
            answer.error.CopyFrom(to_proto_error(error))
            return answer
        answer.offset = found.offset
        answer.leader_epoch = found.leader_epoch
        if found.timestamp_ms is not None:
            answer.timestamp_ms = found.timestamp_ms
        return answer

    async def init_producer(
        self, context: RequestContext, request: data_pb2.InitProducerRequest
    ) -> data_pb2.InitProducerResponse:
        known = ProducerId(request.producer_id) if request.HasField("producer_id") else None
        producer_id, producer_epoch = await self._producer_ids.init_producer(
            known, ProducerEpoch(request.producer_epoch)
        )
        return data_pb2.InitProducerResponse(producer_id=producer_id, producer_epoch=producer_epoch)


def _to_receipt(partition: int, delta: int, result: Receipt | LogdError) -> data_pb2.ProduceReceipt:
    if isinstance(result, LogdError):
        return data_pb2.ProduceReceipt(partition=partition, error=to_proto_error(result))
    return data_pb2.ProduceReceipt(
        partition=partition,
        offset=None if result.base_offset is None else result.base_offset + delta,
        leader_epoch=result.leader_epoch,
        append_timestamp_ms=result.append_timestamp_ms,
        replicas=result.replicas,
        replicas_synced=result.replicas_synced,
        duplicate=result.duplicate,
    )


def _positions(topic: Topic, request: data_pb2.FetchRequest) -> dict[TopicPartition, FetchPosition]:
    """The positions in the request's order. Raises InvalidConfig."""
    if len(request.positions) > PARTITIONS_PER_TOPIC_MAX:
        raise InvalidConfig(
            f"{len(request.positions)} positions, but a topic has at most "
            f"{PARTITIONS_PER_TOPIC_MAX} partitions",
            field="positions",
        )
    positions: dict[TopicPartition, FetchPosition] = {}
    for asked in request.positions:
        topic_partition = TopicPartition(topic.topic_id, PartitionId(asked.partition))
        if topic_partition in positions:
            raise InvalidConfig(
                f"partition {asked.partition} stands twice in the request", field="positions"
            )
        max_bytes = min(request.max_bytes or FETCH_BYTES_DEFAULT, FETCH_BYTES_MAX)
        positions[topic_partition] = FetchPosition(
            topic_partition, Offset(asked.offset), max_bytes=max_bytes
        )
    return positions


def _encoded(fetched: Fetched) -> data_pb2.FetchResult:
    result = fetch_result_head(fetched)
    result.batches = bytes(fetched.batches)
    return result
