from dataclasses import dataclass, field
from itertools import product

import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from logd.model.errors import (
    LogdError,
    OutOfOrderSequence,
    ProducerFenced,
    StoredDataCorrupt,
    UnknownProducer,
    UnsupportedVersion,
)
from logd.model.ids import (
    NO_PRODUCER,
    Offset,
    PartitionId,
    ProducerEpoch,
    ProducerId,
    TopicId,
    TopicPartition,
)
from logd.model.record_batch import HEADER_BYTES, BatchHeader
from logd_partitions.core import producer_state
from logd_partitions.core.producer_state import (
    BATCHES_REMEMBERED,
    NO_TIMESTAMP,
    PRODUCER_EXPIRY_MS,
    SEQUENCE_END,
    VERDICTS,
    Duplicate,
    EpochIs,
    ProducerState,
    SequenceIs,
    Verdict,
)

BLANK = BatchHeader.unpack(bytes(HEADER_BYTES))


def header(producer: int, epoch: int, sequence: int, count: int = 1) -> BatchHeader:
    return BLANK._replace(
        producer_id=ProducerId(producer),
        producer_epoch=ProducerEpoch(epoch),
        base_sequence=sequence,
        record_count=count,
        last_offset_delta=count - 1,
    )


def append(state: ProducerState, batch: BatchHeader, offset: int, at_ms: int = 1000) -> None:
    assert state.check(batch) is None
    state.record(batch, Offset(offset), at_ms)


def with_batches(count: int, *, producer: int = 5, epoch: int = 2) -> ProducerState:
    """A producer with `count` batches of 10 records, at offsets 100, 110, ..."""
    state = ProducerState()
    for i in range(count):
        append(state, header(producer, epoch, i * 10, 10), 100 + i * 10, 1000 + i)
    return state


def test_batches_without_a_producer_are_not_remembered() -> None:
    state = ProducerState()
    batch = header(NO_PRODUCER, -1, -1)
    append(state, batch, 0)
    append(state, batch, 1)
    assert len(state) == 0


def test_a_retry_gets_the_first_answer_again() -> None:
    state = with_batches(16)
    for i in range(16):
        assert state.check(header(5, 2, i * 10, 10)) == Duplicate(
            Offset(100 + i * 10), 10, 1000 + i
        )


def test_what_is_older_than_the_window_is_a_duplicate_without_an_offset() -> None:
    state = with_batches(18)
    assert state.check(header(5, 2, 0, 10)) == (None, 10, NO_TIMESTAMP)
    assert state.check(header(5, 2, 10, 10)) == (None, 10, NO_TIMESTAMP)
    assert state.check(header(5, 2, 13, 7)) == (None, 7, NO_TIMESTAMP)
    with pytest.raises(OutOfOrderSequence):
        state.check(header(5, 2, 13, 8))  # reaches into the window


@pytest.mark.parametrize("sequence", [170, 1000, 155, SEQUENCE_END - 1, -1])
def test_a_gap_or_an_overlap_is_out_of_order(sequence: int) -> None:
    with pytest.raises(OutOfOrderSequence) as caught:
        with_batches(16).check(header(5, 2, sequence, 10))
    assert caught.value.details == {"expected": "160"}


@pytest.mark.parametrize("batches", [3, 20])
def test_nothing_is_older_than_the_first_batch_of_an_epoch(batches: int) -> None:
    with pytest.raises(OutOfOrderSequence):
        with_batches(batches).check(header(5, 2, SEQUENCE_END - 100, 10))


def test_the_same_start_with_another_length_is_out_of_order() -> None:
    with pytest.raises(OutOfOrderSequence):
        with_batches(3).check(header(5, 2, 10, 5))


def test_unknown_producers() -> None:
    state = ProducerState()
    with pytest.raises(UnknownProducer) as caught:
        state.check(header(5, 0, 3))
    assert "needs_new_id" not in caught.value.details
    assert state.check(header(5, 0, 0)) is None


def test_after_a_loss_older_ids_must_be_given_up() -> None:
    state = ProducerState(refuse_unknown_below=ProducerId(1000))
    for sequence in (0, 7):
        with pytest.raises(UnknownProducer) as caught:
            state.check(header(999, 3, sequence))
        assert caught.value.details == {"needs_new_id": "true"}
    append(state, header(1000, 0, 0), 0)
    state.record(header(999, 3, 40), Offset(1), 1000)  # found by replay, so known again
    append(state, header(999, 3, 41), 2)
    again, _ = ProducerState.from_bytes(state.to_bytes(OWNER, Offset(3)))
    assert again.refuse_unknown_below == 1000


def test_epochs() -> None:
    state = with_batches(3)
    with pytest.raises(ProducerFenced) as fenced:
        state.check(header(5, 1, 0, 10))
    assert fenced.value.details == {"current_epoch": "2"}
    with pytest.raises(OutOfOrderSequence) as caught:
        state.check(header(5, 3, 30, 10))
    assert caught.value.details == {"expected": "0"}
    append(state, header(5, 3, 0, 10), 500)
    with pytest.raises(ProducerFenced):
        state.check(header(5, 2, 30, 10))
    with pytest.raises(OutOfOrderSequence):
        state.check(header(5, 3, 20, 10))


def test_sequences_wrap() -> None:
    state = ProducerState()
    state.record(header(5, 0, SEQUENCE_END - 15, 10), Offset(0), 1)
    append(state, header(5, 0, SEQUENCE_END - 5, 10), 10)
    append(state, header(5, 0, 5, 10), 20)
    assert state.check(header(5, 0, SEQUENCE_END - 5, 10)) == (10, 10, 1000)
    assert state.check(header(5, 0, SEQUENCE_END - 25, 10)) == (None, 10, NO_TIMESTAMP)
    with pytest.raises(OutOfOrderSequence):
        state.check(header(5, 0, 25, 10))


def test_a_compacted_batch_keeps_its_sequences() -> None:
    state = ProducerState()
    state.record(header(5, 0, 0, 3)._replace(last_offset_delta=9), Offset(0), 1)
    assert state.check(header(5, 0, 10)) is None


def test_expiry_is_by_append_time() -> None:
    state = ProducerState()
    append(state, header(1, 0, 0), 0, 1000)
    append(state, header(2, 0, 0), 1, 2000)
    append(state, header(1, 0, 1), 2, 3000)
    assert state.expire(2000 + PRODUCER_EXPIRY_MS) == 0
    assert state.expire(2001 + PRODUCER_EXPIRY_MS) == 1
    assert state.check(header(1, 0, 2)) is None
    assert state.expire(3001 + PRODUCER_EXPIRY_MS) == 1
    assert len(state) == 0


def test_the_number_of_producers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_state, "PRODUCERS_MAX", 3)
    state = ProducerState()
    for producer in (1, 2, 3):
        append(state, header(producer, 0, 0), producer)
    append(state, header(1, 0, 1), 4)
    append(state, header(4, 0, 0), 5)
    with pytest.raises(UnknownProducer):
        state.check(header(2, 0, 1))
    assert state.check(header(1, 0, 2)) is None


OWNER = TopicPartition(TopicId(bytes(range(16))), PartitionId(3))
GOLDEN = bytes.fromhex(
    "4c475053 0200 0000"  # magic, version, reserved
    "000102030405060708090a0b0c0d0e0f 03000000"  # topic, partition
    "2a00000000000000 e803000000000000"  # next_offset 42, refuse_unknown_below 1000
    "01000000"  # one producer
    "0500000000000000 02000000 00000000 0200 0000"  # id 5, epoch 2, none before, two batches
    "00000000 0a000000 6400000000000000 e803000000000000"
    "0a000000 0a000000 6e00000000000000 e903000000000000"
)
VERSION_1 = GOLDEN[:4] + b"\x01" + GOLDEN[5:8] + GOLDEN[28:]


def test_golden_bytes() -> None:
    state = with_batches(2)
    state.refuse_unknown_below = ProducerId(1000)
    golden = GOLDEN + crc32c(GOLDEN).to_bytes(4, "little")
    assert state.to_bytes(OWNER, Offset(42)) == golden
    assert golden[-4:].hex() == "f67eda50", "the checksum itself is pinned"
    again, next_offset = ProducerState.from_bytes(golden)
    assert next_offset == 42
    assert again.to_bytes(OWNER, next_offset) == golden
    old = VERSION_1 + crc32c(VERSION_1).to_bytes(4, "little")
    assert old[-4:].hex() == "b6f0acbd"
    again, next_offset = ProducerState.from_bytes(old, OWNER)
    assert again.to_bytes(OWNER, next_offset) == golden


def test_a_snapshot_of_another_partition_counts_as_damaged() -> None:
    data = with_batches(2).to_bytes(OWNER, Offset(42))
    assert ProducerState.from_bytes(data, OWNER)[1] == 42
    with pytest.raises(StoredDataCorrupt, match="another partition"):
        ProducerState.from_bytes(data, OWNER._replace(partition=PartitionId(2)))


def test_every_flipped_bit_and_every_cut_is_found() -> None:
    data = with_batches(2).to_bytes(OWNER, Offset(42))
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StoredDataCorrupt):
            ProducerState.from_bytes(bytes(flipped))
    for size in range(len(data)):
        with pytest.raises(StoredDataCorrupt):
            ProducerState.from_bytes(data[:size])


@given(cut=st.integers(0, len(GOLDEN)), tail=st.binary(max_size=40))
def test_a_right_checksum_over_wrong_bytes_is_an_error_too(cut: int, tail: bytes) -> None:
    data = GOLDEN[:cut] + tail
    try:
        ProducerState.from_bytes(data + crc32c(data).to_bytes(4, "little"))
    except (StoredDataCorrupt, UnsupportedVersion):
        pass


def test_a_newer_version_is_refused() -> None:
    data = GOLDEN[:4] + b"\x03" + GOLDEN[5:]
    with pytest.raises(UnsupportedVersion, match="newer logd"):
        ProducerState.from_bytes(data + crc32c(data).to_bytes(4, "little"))


def test_the_table_has_every_pair_that_can_occur() -> None:
    """SAME meets every sequence; where nothing is remembered only EXPECTED and OTHER exist."""
    short = (SequenceIs.EXPECTED, SequenceIs.OTHER)
    pairs = set(product([e for e in EpochIs if e is not EpochIs.SAME], short))
    assert set(VERDICTS) == pairs | set(product([EpochIs.SAME], SequenceIs))
    assert set(VERDICTS.values()) == set(Verdict)


@dataclass
class NaiveProducer:
    """Every batch of the epoch, at places that do not wrap: place % 2^31 is its sequence."""

    epoch: int
    next_place: int
    batches: list[tuple[int, int, int, int]] = field(default_factory=list)

    def verdict(self, epoch: int, sequence: int, count: int) -> object:
        if epoch < self.epoch:
            return ProducerFenced
        if epoch > self.epoch:
            return None if sequence == 0 else OutOfOrderSequence
        if sequence == self.next_place % SEQUENCE_END:
            return None
        window = self.batches[-BATCHES_REMEMBERED:]
        for place, batch_count, offset, at_ms in window:
            if place % SEQUENCE_END == sequence and batch_count == count:
                return Duplicate(Offset(offset), count, at_ms)
        for place in range(sequence, self.next_place, SEQUENCE_END):
            near = self.next_place - place <= SEQUENCE_END // 2
            if sequence >= 0 and near and place + count <= window[0][0]:
                return Duplicate(None, count, NO_TIMESTAMP)
        return OutOfOrderSequence


producers = st.integers(0, 3)
counts = st.integers(1, 4)


class AgainstNaiveModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.state = ProducerState()
        self.model: dict[int, NaiveProducer] = {}
        self.next_offset = 0

    @initialize()
    def one_that_is_about_to_wrap(self) -> None:
        place = SEQUENCE_END - 30
        self.model[0] = NaiveProducer(4, place)
        self.put(0, 4, place, 3)

    def put(self, producer: int, epoch: int, place: int, count: int) -> None:
        batch = header(producer, epoch, place % SEQUENCE_END, count)
        self.state.record(batch, Offset(self.next_offset), self.next_offset)
        known = self.model.get(producer)
        if known is None or known.epoch != epoch:
            known = self.model[producer] = NaiveProducer(epoch, place)
        known.batches.append((place, count, self.next_offset, self.next_offset))
        known.next_place = place + count
        self.next_offset += count

    def send(self, producer: int, epoch: int, sequence: int, count: int) -> None:
        known = self.model.get(producer)
        if known:
            expected = known.verdict(epoch, sequence, count)
        else:
            expected = None if sequence == 0 else UnknownProducer
        answer: object
        try:
            answer = self.state.check(header(producer, epoch, sequence, count))
        except LogdError as error:
            answer = type(error)
        assert answer == expected
        if expected is None:
            at_end = known is not None and known.epoch == epoch
            place = known.next_place if known and at_end else sequence
            self.put(producer, epoch, place, count)

    @rule(producer=producers, count=counts, times=st.integers(1, 9))
    def next_batches(self, producer: int, count: int, times: int) -> None:
        for _ in range(times):
            known = self.model.get(producer) or NaiveProducer(0, 0)
            self.send(producer, known.epoch, known.next_place % SEQUENCE_END, count)

    @rule(producer=producers, back=st.integers(0, 25), shift=st.integers(-2, 2), count=counts)
    def something_near_an_old_batch(self, producer: int, back: int, shift: int, count: int) -> None:
        known = self.model.get(producer)
        if known and known.batches:
            place, size, _, _ = known.batches[-min(back + 1, len(known.batches))]
            sequence = (place + shift) % SEQUENCE_END
            self.send(producer, known.epoch, sequence, count if shift else size)

    @rule(producer=producers, raised=st.integers(-2, 2), sequence=st.sampled_from([0, 0, 1, 9]))
    def another_epoch(self, producer: int, raised: int, sequence: int) -> None:
        known = self.model.get(producer)
        epoch = max(0, (known.epoch if known else 0) + raised)
        self.send(producer, epoch, sequence, 2)

    @rule()
    def snapshot_and_load(self) -> None:
        data = self.state.to_bytes(OWNER, Offset(self.next_offset))
        self.state, next_offset = ProducerState.from_bytes(data)
        assert next_offset == self.next_offset


TestAgainstNaiveModel = AgainstNaiveModel.TestCase
TestAgainstNaiveModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
