"""Reads fixed structs and length-prefixed text from bytes that may be damaged."""

import struct
from typing import Any

from logd.model.errors import StoredDataCorrupt

_LENGTH = struct.Struct("<H")
TEXT_BYTES_MAX = 0xFFFF


class StructReader:
    """A cursor over one key or value. Whatever does not fit raises StoredDataCorrupt.

    Counts are checked against the bytes that are left before anything is allocated, so damaged
    bytes never cost more memory than their own length.
    """

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        if self._at + layout.size > len(self._data):
            raise _corrupt(f"ends {self._at + layout.size - len(self._data)} bytes too early")
        fields = layout.unpack_from(self._data, self._at)
        self._at += layout.size
        return fields

    def unpack_many(self, layout: struct.Struct, count: int) -> list[tuple[Any, ...]]:
        """`count` structs, one after the other."""
        return list(layout.iter_unpack(self.take(layout.size * count)))

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise _corrupt(f"asks for {size} bytes where {len(self._data) - self._at} are left")
        self._at += size
        return self._data[self._at - size : self._at]

    def text(self) -> str:
        """A u16 length and UTF-8."""
        (size,) = self.unpack(_LENGTH)
        return self.text_of(size)

    def text_of(self, size: int) -> str:
        """UTF-8 of a known length."""
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise _corrupt("holds text that is no UTF-8") from None

    def finish(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            raise _corrupt(f"has {len(self._data) - self._at} bytes too many")


def packed_text(text: str) -> bytes:
    """What `StructReader.text` reads."""
    raw = text.encode()
    assert len(raw) <= TEXT_BYTES_MAX, "callers bound their texts"
    return _LENGTH.pack(len(raw)) + raw


def _corrupt(what: str) -> StoredDataCorrupt:
    return StoredDataCorrupt(f"a record of __consumer_offsets {what}")
