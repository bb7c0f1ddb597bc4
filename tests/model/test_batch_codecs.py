"""Frames of both codecs; what hostile frames do is in test_batch_decoder.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.batch_codecs import compress, decompress
from logd.model.errors import CorruptBatch, UnsupportedCodec
from logd.model.record_batch import Codec

# Frames of b"logd" * 4 as other programs may write them: one literal run, uncompressed.
LZ4_FRAME = "04224d18604082 10000080 6c6f67646c6f67646c6f67646c6f6764 00000000"
ZSTD_FRAME = "28b52ffd2010 810000 6c6f67646c6f67646c6f67646c6f6764"


@given(st.binary(max_size=300), st.sampled_from(Codec))
def test_round_trip(body: bytes, codec: Codec) -> None:
    body += bytes(-len(body) % 8) or bytes(8)
    stored = compress(body, codec)
    assert len(stored) % 8 == 0
    assert decompress(memoryview(stored), codec, len(body)) == body


@pytest.mark.parametrize(("codec", "frame"), [(Codec.LZ4, LZ4_FRAME), (Codec.ZSTD, ZSTD_FRAME)])
@pytest.mark.parametrize("after", range(8))
def test_golden_frames_with_zeros_after(codec: Codec, frame: str, after: int) -> None:
    stored = memoryview(bytes.fromhex(frame) + bytes(after))
    assert decompress(stored, codec, 16) == b"logd" * 4


@pytest.mark.parametrize(("codec", "frame"), [(Codec.LZ4, LZ4_FRAME), (Codec.ZSTD, ZSTD_FRAME)])
def test_cut_frames(codec: Codec, frame: str) -> None:
    whole = bytes.fromhex(frame)
    for length in range(len(whole)):
        with pytest.raises(CorruptBatch):
            decompress(memoryview(whole[:length]), codec, 16)


@pytest.mark.parametrize("codec", [Codec.LZ4, Codec.ZSTD])
@given(raw=st.binary(max_size=100), claimed=st.integers(0, 1000))
def test_arbitrary_frames(codec: Codec, raw: bytes, claimed: int) -> None:
    magic = b"\x04\x22\x4d\x18" if codec is Codec.LZ4 else b"\x28\xb5\x2f\xfd"
    for frame in (raw, magic + raw):
        try:
            assert len(decompress(memoryview(frame), codec, claimed)) == claimed
        except CorruptBatch as error:
            assert str(error)


def test_no_codec_is_no_copy() -> None:
    stored = memoryview(b"12345678")
    assert decompress(stored, Codec.NONE, 8) is stored
    assert compress(b"12345678", Codec.NONE) == b"12345678"


def test_unknown_codec() -> None:
    with pytest.raises(UnsupportedCodec):
        decompress(memoryview(b""), 3, 0)
