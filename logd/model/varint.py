"""Varints as protobuf has them: seven bits a byte, the lowest first; the top bit says more follow.

Walks that are hot look at a single byte themselves, and come here for more.
"""

from logd.model.seams import Buffer

VARINT_BYTES_MAX = 10
"""Of 64 bits."""
TAG_BYTES_MAX = 5
"""Of a tag or a length, which have 32 bits."""
_BITS = (1 << 64) - 1


def write_varint(value: int) -> bytes:
    """Of 0 to 2^64 - 1, in as few bytes as can be."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_varint(message: Buffer, at: int, bytes_max: int = VARINT_BYTES_MAX) -> tuple[int, int]:
    """The value, and where it ends. Bits past the 64th are dropped, as protobuf does.

    Raises IndexError where the message ends within it, ValueError where it has over `bytes_max`.
    """
    byte = message[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift, end = byte & 0x7F, 7, at + bytes_max
    at += 1
    while at < end:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _BITS, at
        shift += 7
    raise ValueError(f"a varint of over {bytes_max} bytes, up to byte {at}")
