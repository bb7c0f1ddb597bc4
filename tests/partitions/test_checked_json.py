import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logd.model.errors import StoredDataCorrupt
from logd_partitions.core.checked_json import decode_checked, encode_checked

GOLDEN = b'{\n "b": [\n  1,\n  true\n ],\n "a": "\xc3\xbc",\n "crc32c": "ac7b0f98"\n}\n'


def test_golden_bytes() -> None:
    members = {"b": [1, True], "a": "\u00fc"}
    assert encode_checked(members) == GOLDEN
    assert decode_checked(GOLDEN, "x") == members


def test_a_flipped_bit_never_changes_what_is_read() -> None:
    intact = decode_checked(GOLDEN, "x")
    for bit in range(len(GOLDEN) * 8):
        data = bytearray(GOLDEN)
        data[bit // 8] ^= 1 << bit % 8
        try:
            assert decode_checked(bytes(data), "x") == intact
        except StoredDataCorrupt as error:
            assert error.details == {"segment": "x"}


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"7", b'{"a": 1}', GOLDEN[:-10], b"[" * 100_000, b"\xff\xfe"]
)
def test_what_is_no_such_file(data: bytes) -> None:
    with pytest.raises(StoredDataCorrupt, match="/some/file"):
        decode_checked(data, "/some/file")


def test_an_edit_by_hand_is_told() -> None:
    edited = json.loads(GOLDEN)
    edited["b"].append(2)
    with pytest.raises(StoredDataCorrupt):
        decode_checked(json.dumps(edited).encode(), "x")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=5,
)


@settings(max_examples=30)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), values, max_size=4))
def test_round_trip(members: dict[str, object]) -> None:
    members.pop("crc32c", None)
    assert decode_checked(encode_checked(members), "x") == members


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(StoredDataCorrupt):
        decode_checked(data, "x")
