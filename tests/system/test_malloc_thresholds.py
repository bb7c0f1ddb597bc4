"""In a process of its own: the thresholds stay for the rest of a process's life."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from logd.system.malloc_thresholds import raise_malloc_thresholds

def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def touch() -> int:
    before = faults()
    for _ in range(50):
        bytearray(b"x") * (4 << 20)
    return faults() - before

untuned = touch()
assert raise_malloc_thresholds()
touch()
print(untuned, touch())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's mallopt")
def test_large_blocks_are_not_faulted_in_again_each_time() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    untuned, tuned = map(int, done.stdout.split())
    assert tuned < 1000, f"{tuned} page faults for 200 MiB in 4 MiB blocks (before: {untuned})"
