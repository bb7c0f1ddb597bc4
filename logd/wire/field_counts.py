"""How many fields a message has, counted before it is parsed.

An empty one takes two bytes of a message and fifty times that of memory.
"""

from logd.model.errors import InvalidConfig
from logd.model.seams import Buffer
from logd.model.varint import read_varint

FIELDS_PER_MESSAGE_MAX = 16_384
"""Entries or records of one message: 1 MiB of the smallest batches has half of them."""
UNCOUNTED_BYTES_MAX = 1 << 20
"""Up to there what records hold is not counted: at its worst it takes 50 MiB of memory."""
NESTED_FIELDS_MAX = 100_000
"""10,000 records of four fields and six headers each."""
_RECORDS = 0x1A  # ProduceRequest.records: field 3, length-delimited


def check_field_count(message: Buffer) -> None:
    """Raises InvalidConfig past FIELDS_PER_MESSAGE_MAX; what is no message passes."""
    _count_fields(message, 0, len(message), FIELDS_PER_MESSAGE_MAX, None)


def check_plain_request(message: Buffer) -> None:
    """As `check_field_count` of a ProduceRequest; of a large one also what its records hold."""
    check_field_count(message)
    if len(message) > UNCOUNTED_BYTES_MAX:
        _count_fields(message, 0, len(message), NESTED_FIELDS_MAX, _RECORDS)


def _count_fields(message: Buffer, at: int, end: int, left: int, nested: int | None) -> int:
    """How many of `left` are not used by the fields in [at, end), those in `nested` included."""
    try:
        while at < end:
            left -= 1
            if left < 0:
                raise InvalidConfig(
                    f"a message has at most {FIELDS_PER_MESSAGE_MAX} entries or records, and a "
                    f"large one {NESTED_FIELDS_MAX} fields and headers in them: send several",
                    limit=FIELDS_PER_MESSAGE_MAX,
                )
            tag, at = read_varint(message, at)
            wire_type = tag & 7
            if wire_type == 0:
                _, at = read_varint(message, at)
            elif wire_type == 1:
                at += 8
            elif wire_type == 2:
                length, at = read_varint(message, at)
                if tag == nested:
                    left = _count_fields(message, at, at + length, left, None)
                at += length
            elif wire_type == 5:
                at += 4
    except (IndexError, ValueError):
        pass  # the parser will say so
    return left
