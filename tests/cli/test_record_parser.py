import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.cli import record_parser
from logd.cli.error_report import BadUsage
from logd.cli.record_parser import NewRecord, RecordParser, input_template
from logd.cli.record_writer import record_json
from logd.model.errors import RecordTooLarge
from logd_client.record import Record


def parsed(format: str, *blocks: bytes) -> list[NewRecord]:
    parser = RecordParser(format)
    records = [record for block in blocks for record in parser.feed(block)]
    return records + list(parser.finish())


def values(format: str, *blocks: bytes) -> list[bytes | None]:
    return [record.value for record in parsed(format, *blocks)]


def test_lines_keep_every_byte_but_the_newline() -> None:
    assert values("lines", b"a\r\n\n\xff\0\nlast") == [b"a\r", b"", b"\xff\0", b"last"]
    assert values("lines", b"") == []
    assert values("lines", b"\n") == [b""]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_where_the_input_is_cut_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    blocks = [data[a:b] for a, b in itertools.pairwise(edges)]
    for format in ("lines", "raw", r"%v\r\n"):
        assert values(format, *blocks) == values(format, data)


def test_raw_is_one_record_even_if_it_is_empty() -> None:
    assert values("raw", b"a\n", b"b") == [b"a\nb"]
    assert values("raw") == [b""]


def test_a_template_splits_at_its_literals() -> None:
    records = parsed(r"%k:%v\n", b"a:b:c\n:\nk:\xff")
    assert [(r.key, r.value) for r in records] == [(b"a", b"b:c"), (b"", b""), (b"k", b"\xff")]


def test_a_template_may_give_time_partition_and_headers() -> None:
    (record,) = parsed(r"[%p] %T %h %v;", b"[3] 1970-01-01T00:00:01Z a=b,c x;")
    assert record == NewRecord(b"x", None, [("a", b"b"), ("c", None)], 1000, 3)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("lnes", "neither"),
        ("%v", "must end"),
        (r"%k%v\n", "nothing between"),
        (r"%v %v\n", "twice"),
        (r"%o %v\n", "the broker sets it"),
        (r"%t %v\n", "the broker sets it"),
    ],
)
def test_what_is_no_input_template(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        input_template(text)


def test_a_record_that_does_not_fit_is_named_after_those_before_it() -> None:
    parser = RecordParser(r"%k:%v\n")
    records = parser.feed(b"a:b\nno colon\n")
    assert next(records).key == b"a"
    with pytest.raises(BadUsage, match=r"record 2 .*b':' is missing in 'no colon'"):
        next(records)


@given(
    st.none() | st.binary(),
    st.none() | st.binary(),
    st.lists(st.tuples(st.text(), st.none() | st.binary()), max_size=3),
    st.integers(0, 1 << 42),
)
def test_what_consume_prints_as_jsonl_produce_reads(
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]],
    timestamp_ms: int,
) -> None:
    record = Record("t", 1, 2, timestamp_ms, key, value, headers)
    line = json.dumps(record_json(record)).encode() + b"\n"
    assert parsed("jsonl", line) == [NewRecord(value, key, headers, timestamp_ms)]


def test_jsonl_takes_objects_as_values_and_skips_empty_lines() -> None:
    assert values("jsonl", b'{"value": {"a": 1}}\n\n{"value": null}\n') == [b'{"a": 1}', None]


@pytest.mark.parametrize(
    "line", ["[]", "{}", "{", '{"value": "a", "key_b64": "*"}', '{"value": "", "timestamp": "x"}']
)
def test_what_is_no_record_in_json(line: str) -> None:
    with pytest.raises(BadUsage, match="record 1 of the input"):
        parsed("jsonl", line.encode())


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(record_parser, "RECORD_BYTES_MAX", 100)
    parser = RecordParser("lines")
    list(parser.feed(b"x" * 100))
    with pytest.raises(RecordTooLarge, match="record 1"):
        list(parser.feed(b"x"))


def test_base64_is_what_rfc_4648_says() -> None:
    assert values("jsonl", b'{"value_b64": "%s"}' % base64.b64encode(b"\xff")) == [b"\xff"]


@pytest.mark.parametrize(
    ("field", "told"),
    [("timestmap", "did you mean 'timestamp'"), ("colour", "may"), ("Key", "did you mean 'key'")],
)
def test_a_field_that_a_record_has_not_is_refused(field: str, told: str) -> None:
    """It would be left out in silence: a time that is misspelt would be now."""
    with pytest.raises(BadUsage, match=told):
        list(RecordParser("jsonl").feed(b'{"value": "v", "%s": "x"}\n' % field.encode()))
