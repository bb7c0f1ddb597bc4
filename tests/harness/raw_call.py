"""gRPC calls by hand, for what no client library sends: odd metadata, and ends in the midst."""

import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Self

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4


class RawCaller:
    """One connection, in the clear; a context manager. Calls are numbered 1, 3, 5, ..."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        self._next_stream = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(
        self, method: str, request: bytes | None, metadata: Mapping[bytes, bytes] | None = None
    ) -> int:
        """Begin a call; its number. `request` None: more follows, and the call stays open."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        headers = {
            b":method": b"POST",
            b":scheme": b"http",
            b":path": method.encode(),
            b":authority": b"localhost",
            b"te": b"trailers",
            b"content-type": b"application/grpc",
            **(metadata or {}),
        }
        block = b"".join(map(_literal, headers.items()))
        self._socket.sendall(_frame(_HEADERS, _END_HEADERS, stream, block))
        if request is not None:
            self.send(stream, request, ends=True)
        return stream

    def send(self, stream: int, message: bytes, *, ends: bool = False) -> None:
        data = b"\0" + struct.pack(">I", len(message)) + message
        self._socket.sendall(_frame(_DATA, _END_STREAM if ends else 0, stream, data))

    def received(self) -> bytes:
        """Whatever has come; waits for some."""
        return self._socket.recv(1 << 16)

    def reset(self) -> None:
        """Vanish: the other end gets a reset and no goodbye."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(header: Sequence[bytes]) -> bytes:
    """HPACK: a literal without indexing, its name new, no Huffman (RFC 7541, 6.2.2)."""
    return b"\0" + b"".join(_length(len(part)) + part for part in header)


def _length(number: int) -> bytes:
    """An integer with a prefix of 7 bits (RFC 7541, 5.1)."""
    if number < 127:
        return bytes([number])
    encoded, number = bytearray([127]), number - 127
    while number >= 128:
        encoded.append(number % 128 | 128)
        number //= 128
    return bytes([*encoded, number])
