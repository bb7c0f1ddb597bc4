"""What a batch's body is compressed with: one frame over the whole body."""

import lz4.frame
import zstandard

from logd.model.errors import CorruptBatch, UnsupportedCodec
from logd.model.record_batch import Codec

ZSTD_LEVEL = 1


def compress(body: bytes, codec: Codec) -> bytes:
    """One frame of `codec`, which states the body's length, and zeros up to a multiple of 8."""
    if codec is Codec.NONE:
        return body
    if codec is Codec.LZ4:
        frame = bytes(lz4.frame.compress(body, store_size=True))
    else:
        frame = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(body)
    return frame + bytes(-len(frame) % 8)


def decompress(stored: memoryview, codec: int, uncompressed_bytes: int) -> memoryview:
    """The body, of exactly `uncompressed_bytes`; never allocates more than that for it.

    What follows the frame is not looked at. Raises CorruptBatch, UnsupportedCodec.
    """
    if codec == Codec.NONE:
        return stored
    if codec not in (Codec.LZ4, Codec.ZSTD):
        raise UnsupportedCodec(f"the batch has codec {codec}; this version knows 0, 1 and 2")
    unpack = _lz4 if codec == Codec.LZ4 else _zstd
    try:
        body = unpack(stored, uncompressed_bytes)
    except (RuntimeError, EOFError, ValueError, zstandard.ZstdError) as error:
        raise CorruptBatch(f"{Codec(codec).name.lower()} cannot read the body: {error}") from error
    if len(body) != uncompressed_bytes:
        raise _disagrees(len(body), uncompressed_bytes)
    return memoryview(body)


def _lz4(stored: memoryview, uncompressed_bytes: int) -> bytes:
    frame = lz4.frame.LZ4FrameDecompressor()
    # One byte more than is due, so that a longer body shows and the end of a right one is read.
    body = bytes(frame.decompress(stored, max_length=uncompressed_bytes + 1))
    if not frame.eof and len(body) <= uncompressed_bytes:
        raise EOFError("the frame is cut")
    return body


def _zstd(stored: memoryview, uncompressed_bytes: int) -> bytes:
    stated = zstandard.frame_content_size(stored)
    if stated not in (-1, uncompressed_bytes):
        raise _disagrees(stated, uncompressed_bytes)
    return zstandard.ZstdDecompressor().decompress(stored, max_output_size=uncompressed_bytes)


def _disagrees(frame_bytes: int, uncompressed_bytes: int) -> CorruptBatch:
    return CorruptBatch(
        f"the frame holds {frame_bytes} bytes, but uncompressed_bytes is {uncompressed_bytes}"
    )
