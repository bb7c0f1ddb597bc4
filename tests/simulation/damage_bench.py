"""A data directory whose small files are damaged, and what must be true of the broker on it."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.door_bench import DoorBench
from harness.local_broker import local_broker
from harness.manual_clock import ManualClock
from logd.broker.broker import Broker
from logd.broker.metadata_repair import carry_out, check_metadata, planned_rebuild
from logd.broker.partition_host import PartitionHost
from logd.broker.ports import Receipt
from logd.model.batch_decoder import decode_batch
from logd.model.batch_encoder import encode_batch
from logd.model.errors import LogdError, StoredDataCorrupt
from logd.model.group import CommitRequest, Consumer, OffsetCommit
from logd.model.ids import Offset, PartitionId, ProducerEpoch, ProducerId, TopicPartition
from logd.model.offset_spec import OffsetSpec
from logd.model.record_batch import split_batches
from logd.system.os_file_system import OsFileSystem
from logd_partitions.offline.directory_check import check_directory
from logd_proto.v1 import data_pb2
from simulation.damages import Damage
from simulation.knobs import few_offsets_partitions

Where = tuple[str, int]
"""A topic's name and the number of a partition."""

PARTITIONS: tuple[Where, ...] = (("i", 0), ("i", 1), ("j", 0), ("j", 1))
SMALL = ("i", 1)
"""One segment, never rolled."""
RUNS = 3
BATCHES_PER_RUN = 2
RECORDS = 5
LOG_START = 7
"""Where the others begin: the first segment is gone, and with it all that one producer wrote."""
GROUPS = ("billing", "audit")
COMMITTED = 8
TIMEOUT_MS = 60_000
STARTS_MAX = 5


@dataclass
class Sent:
    """A batch as it was sent, and the offset that it was given."""

    batch: bytes
    offset: int


@dataclass
class Written:
    """What a broker has acknowledged: values by offset, where each log starts, batches to retry."""

    directory: Path
    values: dict[Where, dict[int, bytes]] = field(
        default_factory=lambda: {where: {} for where in PARTITIONS}
    )
    starts: dict[Where, int] = field(default_factory=lambda: dict.fromkeys(PARTITIONS, 0))
    sent: dict[Where, list[Sent]] = field(
        default_factory=lambda: {where: [] for where in PARTITIONS}
    )


@dataclass
class Seen:
    """What a start served. `refused`: partitions whose every use is STORED_DATA_CORRUPT. `lost`:
    offsets that a reader was refused. `ends`: of the logs."""

    values: dict[Where, dict[int, bytes]] = field(default_factory=dict)
    lost: dict[Where, set[int]] = field(default_factory=dict)
    ends: dict[Where, int] = field(default_factory=dict)
    refused: dict[Where, LogdError] = field(default_factory=dict)
    committed: dict[str, dict[Where, int] | None] = field(default_factory=dict)


def write(directory: Path, *, killed: bool) -> Written:
    """`killed`: as `kill -9` leaves it."""
    with few_offsets_partitions():
        return asyncio.run(_write(directory, killed))


async def _write(directory: Path, killed: bool) -> Written:
    written = Written(directory / "written")
    work, producer_ids = directory / "work", list[int]()
    for run in range(RUNS):
        async with local_broker(work) as local:
            host, broker = local.broker._host, local.broker
            if run == 0:
                asked = data_pb2.InitProducerRequest()
                for _ in range(2):
                    answer = await DoorBench(local).call("DataService/InitProducer", asked)
                    producer_ids.append(answer.producer_id)
                for topic in ("i", "j"):
                    await host._topics.create(topic, 2, {})
            for number in range(BATCHES_PER_RUN):
                for where in PARTITIONS:
                    # The higher of two producer ids wrote what is gone.
                    is_first = (run, number) == (0, 0)
                    sequence = 0 if is_first else (len(written.sent[where]) - 1) * RECORDS
                    producer = producer_ids[1] if is_first else producer_ids[0], sequence
                    await _send(host, written, where, local.clock.wall_ms(), producer)
                if number < BATCHES_PER_RUN - 1:
                    for where in PARTITIONS:
                        if where != SMALL:
                            (await host.hosted(_id(broker, where))).log.roll()
            await broker._maintenance.run_pass()
            if run == 1:
                await _move_starts(broker, written)
            for group in GROUPS:
                await _commit(broker, group, COMMITTED + run)
            if killed and run == RUNS - 1:
                shutil.copytree(work / "data", written.directory)
    if not killed:
        shutil.copytree(work / "data", written.directory)
    return written


async def _send(
    host: PartitionHost, written: Written, where: Where, now_ms: int, producer: tuple[int, int]
) -> None:
    first = len(written.values[where])
    values = [b"%s-%d %d" % (where[0].encode(), where[1], first + n) for n in range(RECORDS)]
    batch = encode_batch(
        values,
        timestamps_ms=now_ms,
        producer_id=ProducerId(producer[0]),
        producer_epoch=ProducerEpoch(0),
        base_sequence=producer[1],
    )
    receipt = await _append(host, _topic_partition(host, where), batch)
    assert isinstance(receipt, Receipt) and receipt.base_offset == first, receipt
    written.values[where] |= {first + n: value for n, value in enumerate(values)}
    written.sent[where].append(Sent(batch, first))


async def _move_starts(broker: Broker, written: Written) -> None:
    for where in PARTITIONS:
        if where != SMALL:
            before = OffsetSpec("offset", LOG_START)
            await broker._host.delete_records(_id(broker, where), before)
            written.starts[where] = LOG_START


async def _commit(broker: Broker, group: str, offset: int) -> None:
    commits = tuple(OffsetCommit(_id(broker, where), Offset(offset)) for where in PARTITIONS)
    outcome = await broker._groups.commit_offsets(CommitRequest(group, commits))
    assert not any(outcome.results), outcome.results


async def _append(
    host: PartitionHost, topic_partition: TopicPartition, batch: bytes
) -> Receipt | LogdError:
    await host.open(topic_partition)
    answered: asyncio.Future[Receipt | LogdError] = asyncio.get_running_loop().create_future()
    host.append(topic_partition, batch, answered.set_result, acks="all", timeout_ms=TIMEOUT_MS)
    return await answered


def _topic_partition(host: PartitionHost, where: Where) -> TopicPartition:
    return TopicPartition(host._topics.by_name(where[0]).topic_id, PartitionId(where[1]))


def _id(broker: Broker, where: Where) -> TopicPartition:
    return _topic_partition(broker._host, where)


# What is damaged, and what must hold then


def check_damaged(written: Written, room: Path, damages: Sequence[Damage]) -> list[str]:
    """Every broken promise of a broker that starts on a copy with this damage."""
    with few_offsets_partitions():
        return asyncio.run(_check_damaged(written, room, damages))


async def _check_damaged(written: Written, room: Path, damages: Sequence[Damage]) -> list[str]:
    data = _damaged_copy(written, room, damages)
    findings: list[str] = []
    refusals: list[LogdError] = []
    async with _started(written, room, refusals) as broker:
        first = await _look(broker)
        findings += _judge(written, first)
        await _check_retries(broker, written, first, findings)
        appended = await _go_on(broker, written, first, findings)
    is_less = first.refused or any(first.lost.values()) or None in first.committed.values()
    if is_less and not _is_told(data):
        findings.append(f"verify says ok after the start, but {first.refused}, {first.lost}")
    async with _started(written, room, refusals) as broker:
        second = await _look(broker)
        for where, at in appended.items():
            first.values[where] |= {at: b"appended"}
            first.ends[where] = at + 1
        if second.values != first.values or second.committed != first.committed:
            findings.append("a second start shows something else")
        if set(second.refused) != set(first.refused) or second.ends != first.ends:
            findings.append(f"a second start refuses {second.refused}, not {first.refused}")
    if (refusals or is_less) and not _is_told(_damaged_copy(written, room, damages)):
        findings.append(f"verify said ok, but {refusals}, {first.refused}, {first.lost}")
    return findings


def _damaged_copy(written: Written, room: Path, damages: Sequence[Damage]) -> Path:
    shutil.rmtree(room, ignore_errors=True)
    shutil.copytree(written.directory, room / "data", copy_function=shutil.copyfile)
    for damage in damages:
        damage.do(room / "data")
    return room / "data"


def _is_told(data: Path) -> bool:
    """Whether `segments verify` ends with 8."""
    fs = OsFileSystem()
    report = check_directory(fs, str(data))
    report.findings += check_metadata(fs, str(data))
    return report.is_damaged


@contextlib.asynccontextmanager
async def _started(
    written: Written, room: Path, refusals: list[LogdError]
) -> AsyncIterator[Broker]:
    """A broker, after what its refusals say has been done."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(STARTS_MAX):
            try:
                local = await stack.enter_async_context(local_broker(room, seed=2))
            except LogdError as error:
                assert error.exit_status == 8, repr(error)
                refusals.append(error)
                _do_as_told(written, room / "data", error)
            else:
                yield local.broker
                return
        raise AssertionError(f"the broker does not start: {refusals}")


def _do_as_told(written: Written, data: Path, error: LogdError) -> None:
    if "rebuild-metadata" not in error.message:
        assert "format.json" in error.message and "backup" in error.message, error.message
        shutil.copyfile(written.directory / "format.json", data / "format.json")
        return
    fs = OsFileSystem()
    try:
        with planned_rebuild(fs, ManualClock(), str(data)) as plan:
            carry_out(fs, plan)
    except StoredDataCorrupt as refused:
        assert "restore partition.json there from a backup" in refused.message
        path = f"{Path(refused.details['segment']).name}/partition.json"
        shutil.copyfile(written.directory / path, data / path)


async def _look(broker: Broker) -> Seen:
    seen = Seen()
    for where in PARTITIONS:
        seen.values[where], seen.lost[where] = {}, set()
        try:
            log = (await broker._host.hosted(_id(broker, where))).log
        except StoredDataCorrupt as error:
            seen.refused[where] = error
            continue
        seen.ends[where] = log.held_end
        offset = log.log_start_offset
        while offset < log.held_end:
            try:
                plan = log.plan_read(offset, 1 << 20, log.held_end)
                assert plan is not None
                for _, batch in split_batches(log.read(plan)):
                    decoded = decode_batch(batch)
                    values = [value or b"" for value in decoded.values]
                    seen.values[where] |= dict(zip(decoded.offsets, values, strict=True))
                offset = plan.next_offset
            except StoredDataCorrupt as error:
                end = Offset(int(error.details["next_offset"]))
                assert end > offset, error
                seen.lost[where] |= set(range(offset, end))
                offset = end
    for group in GROUPS:
        try:
            found = await broker._groups.fetch_offsets(group, (), Consumer())
        except StoredDataCorrupt:
            seen.committed[group] = None
            continue
        offsets = {each.topic_partition: each.offset for each in found.offsets}
        seen.committed[group] = {
            where: int(offsets[_id(broker, where)] or -1)
            for where in PARTITIONS
            if _id(broker, where) in offsets
        }
    return seen


def _judge(written: Written, seen: Seen) -> list[str]:
    findings = []
    for where in PARTITIONS:
        if where in seen.refused:
            error = seen.refused[where]
            if not _leads_on(error):
                findings.append(f"{where} is refused without a way on: {error}")
            continue
        sent, found, lost = written.values[where], seen.values[where], seen.lost[where]
        strange = {at: value for at, value in found.items() if sent.get(at) != value}
        if strange:
            findings.append(f"{where} serves what was not sent there: {strange}")
        missing = [at for at in sent if at >= written.starts[where] if at not in found]
        if set(missing) - lost:
            findings.append(f"{where}: acknowledged, and gone in silence: {missing}")
        if missing:
            findings.append(f"{where}: segments are whole, but {missing} are lost")
        for group, offsets in seen.committed.items():
            if offsets is not None and offsets.get(where) != COMMITTED + RUNS - 1:
                findings.append(f"{group} had committed in {where}, but finds {offsets}")
    return findings


def _leads_on(error: LogdError) -> bool:
    return "logctl segments adopt" in error.message and "delete the topic" in error.message


async def _check_retries(broker: Broker, written: Written, seen: Seen, findings: list[str]) -> None:
    for where in PARTITIONS:
        for sent in written.sent[where] if where not in seen.refused else ():
            answer = await _append(broker._host, _id(broker, where), sent.batch)
            if isinstance(answer, Receipt):
                if not answer.duplicate:
                    findings.append(f"{where}: a retry of {sent.offset} was appended again")
                elif answer.base_offset not in (None, sent.offset):
                    findings.append(f"{where}: a retry of {sent.offset} has {answer.base_offset}")
            elif answer.reason not in ("UNKNOWN_PRODUCER", "OUT_OF_ORDER_SEQUENCE"):
                findings.append(f"{where}: a retry of {sent.offset} has {answer!r}")


async def _go_on(
    broker: Broker, written: Written, seen: Seen, findings: list[str]
) -> dict[Where, int]:
    """Append once to each partition: the offsets."""
    appended: dict[Where, int] = {}
    for where in PARTITIONS:
        try:
            topic_partition = _id(broker, where)
            batch = encode_batch([b"appended"], timestamps_ms=ManualClock().wall_ms())
            answer = await _append(broker._host, topic_partition, batch)
        except StoredDataCorrupt as error:
            answer = error
        if isinstance(answer, Receipt):
            assert answer.base_offset is not None
            if where in seen.refused or answer.base_offset < len(written.values[where]):
                findings.append(f"{where}: offset {answer.base_offset} was given twice")
            appended[where] = answer.base_offset
        elif where not in seen.refused:
            findings.append(f"{where} takes no append: {answer!r}")
    return appended
