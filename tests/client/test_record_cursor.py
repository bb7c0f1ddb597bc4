"""RecordCursor: what it hands out, and what it says was received and done."""

from harness.fake_fetch_broker import stored_batch
from logd.model.batch_decoder import decode_batch
from logd_client.core.record_cursor import CHUNK_RECORDS, RecordCursor
from logd_client.record_batch import RecordBatch


def cursor(
    count: int, *, base_offset: int = 100, skip: int = 0, next_offset: int = 0
) -> RecordCursor:
    decoded = decode_batch(stored_batch([b"v"] * count, base_offset))
    end = next_offset or base_offset + count
    return RecordCursor(RecordBatch("t", 0, decoded, skip, end), base_offset + skip)


def test_a_loop_is_done_with_all_but_the_record_in_hand() -> None:
    it = cursor(3, next_offset=110)
    it.looping = True
    assert (it.received, it.done) == (100, 100)
    chunk = it.next_chunk()
    assert chunk is not None
    seen = [(record.offset, it.received, it.done) for record in chunk]
    assert seen == [(100, 101, 100), (101, 102, 101), (102, 110, 102)]
    assert it.finished and it.next_chunk() is None
    it.acknowledge()
    assert it.done == 110, "the gap after the last record is stepped over"


def test_what_poll_took_is_done_when_the_application_comes_back() -> None:
    it = cursor(10, skip=2)
    assert [record.offset for record in it.take(3)] == [102, 103, 104]
    assert (it.received, it.done) == (105, 102)
    it.acknowledge()
    assert it.done == 105


def test_chunks_cover_the_batch_and_an_abandoned_one_goes_on() -> None:
    count = 2 * CHUNK_RECORDS + 7
    it = cursor(count)
    seen = []
    while (chunk := it.next_chunk()) is not None:
        for record in chunk:
            seen.append(record.offset)
            if len(seen) % 100 == 0:
                break
        seen += [record.offset for record in it.take(50)]
    assert seen == list(range(100, 100 + count))


def test_the_rest_is_a_batch_and_a_cut_ends_the_loop() -> None:
    it = cursor(5)
    chunk = it.next_chunk()
    assert chunk is not None
    assert next(chunk).offset == 100
    (rest,) = it.rest()
    assert rest is not None and list(rest.offsets) == [101, 102, 103, 104]
    it.cut()
    assert list(chunk) == [] and it.next_chunk() is None
