"""How many descriptors this process has open, and may have."""

import os
import resource

_LISTS = [path for path in ("/proc/self/fd", "/dev/fd") if os.path.isdir(path)]
_MACOS_MAX = 10_240
"""OPEN_MAX of macOS, which refuses more though its hard limit says unlimited."""


def raise_descriptor_limit() -> int | None:
    """The soft limit becomes the hard one, as far as the system lets it; the limit in force.

    Soft limits are low (1024) for the sake of programs that use select(2), which no server does.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (hard, _MACOS_MAX):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            break
        except (OSError, ValueError):
            continue
    return descriptor_limit()


def descriptor_limit() -> int | None:
    """None: there is none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def count_open_descriptors() -> int | None:
    """None: this system does not tell. Raises OSError where there is none left to look with.

    Linux says it at once from 6.2 on; before, and on macOS, it is 1 ms for some 2000.
    """
    if not _LISTS:
        return None
    if _LISTS[0].startswith("/proc") and (count := os.stat(_LISTS[0]).st_size):
        return count
    return len(os.listdir(_LISTS[0])) - 1
