"""Which keys a partition takes: half-open ranges of murmur3 hashes over 0 .. 2^32."""

from typing import NamedTuple

HASH_END = 1 << 32


class KeyRange(NamedTuple):
    """Hashes [hash_lo, hash_hi)."""

    hash_lo: int
    hash_hi: int
