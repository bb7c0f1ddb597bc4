"""Keeps glibc from giving large freed blocks back to the kernel at every message.

A 1 MiB message is a fresh block; with default thresholds each is unmapped after use and faulted in
again page by page: measured 1.4 to 2.6 times the CPU a message. Source: mallopt(3).
"""

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
TRIM_BYTES = 128 << 20
MMAP_BYTES = 32 << 20


def raise_malloc_thresholds() -> bool:
    """For a process's start. False where the C library has no mallopt (macOS, musl)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, TRIM_BYTES) and mallopt(_M_MMAP_THRESHOLD, MMAP_BYTES))
