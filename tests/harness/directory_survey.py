"""Opens a data directory that was tampered with, reads all, appends: what clients saw."""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from harness.door_bench import DoorBench
from harness.local_broker import LocalBroker, local_broker
from harness.prepared_data import GROUP, TOPICS, PreparedData
from logd.model.cluster import HealthProblem
from logd.model.errors import LogdError
from logd.model.offset_spec import FoundOffset
from logd.system.os_file_system import OsFileSystem
from logd_client import Admin, Consumer, OffsetSpec, Producer, Record
from logd_client.descriptions import TopicDescription
from logd_client.topic_admin import error_of
from logd_partitions.offline.directory_check import CheckReport, check_directory
from logd_proto.v1 import data_pb2

T = TypeVar("T")


@dataclass
class LogSurvey:
    """One partition. `gaps`: offsets that a reader was refused, and the refusal. `error`: it
    could not be read at all."""

    start: int = 0
    end: int = 0
    leader_epoch: int = -1
    records: list[Record] = field(default_factory=list)
    gaps: list[tuple[int, int, LogdError]] = field(default_factory=list)
    error: LogdError | None = None
    committed: int | LogdError | None = None
    found: list[FoundOffset | LogdError] = field(default_factory=list)
    retried: Any = None
    appended: int | LogdError | None = None
    reread: list[Record] = field(default_factory=list)


@dataclass
class DirectorySurvey:
    """`refused`: the broker did not start. `checked`: what `segments verify` said before."""

    checked: CheckReport
    refused: LogdError | None = None
    logs: dict[str, LogSurvey] = field(default_factory=dict)
    topics: list[TopicDescription] = field(default_factory=list)
    producer_id: int = -1
    problems: list[HealthProblem] = field(default_factory=list)


async def survey_directory(
    directory: Path, prepared: PreparedData, topics: Sequence[str] = TOPICS
) -> DirectorySurvey:
    """`directory` holds `data`, made of what was prepared. Of each topic all is read, and what was
    sent last is sent again."""
    survey = DirectorySurvey(check_directory(OsFileSystem(), str(directory / "data")))
    try:
        async with (
            local_broker(directory, seed=2) as local,
            Admin(transport=local.transport) as admin,
        ):
            survey.topics = await admin.list_topics()
            asked = data_pb2.InitProducerRequest()
            answer = await DoorBench(local).call("DataService/InitProducer", asked)
            survey.producer_id = answer.producer_id
            for topic in topics:
                log = survey.logs[topic] = LogSurvey()
                await _survey_log(local, admin, topic, log, prepared)
                await _append(local, topic, log, prepared.last_batches[topic])
            survey.problems = list((await admin.cluster_health()).problems)
    except LogdError as error:
        survey.refused = error
    return survey


async def _survey_log(
    local: LocalBroker, admin: Admin, topic: str, log: LogSurvey, prepared: PreparedData
) -> None:
    [state] = await admin.describe_partitions(topic)
    if state.error is not None:
        log.error = state.error
        return
    log.start, log.end = state.log_start_offset, state.high_watermark
    log.leader_epoch = state.leader_epoch
    log.records, log.gaps = await _read(local, topic, log.start, log.end)
    committed = await _outcome(admin.fetch_offsets(GROUP, {topic: [0]}))
    log.committed = committed if isinstance(committed, LogdError) else committed[0].offset
    for by_append_time, time_ms in prepared.lookups(topic):
        at = OffsetSpec.at_time if by_append_time else OffsetSpec.at_record_time
        [found] = await admin.list_offsets(topic, {0: at(time_ms)})
        log.found.append(found.error or found)


async def _read(
    local: LocalBroker, topic: str, start: int, end: int
) -> tuple[list[Record], list[tuple[int, int, LogdError]]]:
    """Everything in [start, end), with `seek` to `next_offset` behind each refusal."""
    records: list[Record] = []
    gaps: list[tuple[int, int, LogdError]] = []
    consumer = Consumer(topic, transport=local.transport, auto_offset_reset="none")
    consumer.seek(topic, 0, start)
    async with consumer:
        while (position := consumer.position(topic, 0)) < end:
            try:
                records += await consumer.next_batch()
            except LogdError as error:
                next_offset = int(error.details["next_offset"])
                assert next_offset > position, "a refusal leads on"
                gaps.append((position, next_offset, error))
                consumer.seek(topic, 0, next_offset)
    return records, gaps


async def _append(local: LocalBroker, topic: str, log: LogSurvey, last_batch: bytes) -> None:
    retried = await _outcome(DoorBench(local).produce_batch(topic, last_batch))
    log.retried = retried if isinstance(retried, LogdError) else error_of(retried[0]) or retried[0]
    async with Producer(transport=local.transport, linger_ms=0) as producer:
        handle = await producer.send(
            topic, b"appended", partition=0, timestamp_ms=local.clock.wall_ms()
        )
        receipt = await _outcome(_awaited(handle))
        log.appended = receipt if isinstance(receipt, LogdError) else receipt.offset
    if isinstance(log.appended, int):
        log.reread, _ = await _read(local, topic, log.appended, log.appended + 1)


async def _awaited(handle: Any) -> Any:
    return await handle


async def _outcome(work: Coroutine[Any, Any, T]) -> T | LogdError:
    try:
        return await work
    except LogdError as error:
        return error
