"""The real process's descriptors."""

import os
import subprocess
import sys

from logd.system.open_descriptors import count_open_descriptors

PROGRAM = """
import resource
from logd.system.open_descriptors import descriptor_limit, raise_descriptor_limit
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2000))
assert descriptor_limit() == 256
print(raise_descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_all_that_are_open_are_counted() -> None:
    before = count_open_descriptors()
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
    after = count_open_descriptors()
    for descriptor in opened:
        os.close(descriptor)
    assert before is not None and after == before + 50


def test_the_soft_limit_becomes_the_hard_one() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.split() == ["2000", "2000", "2000"], done.stderr
