"""Reads a file or a pipe in blocks on the event loop: Ctrl-C has no thread to wait for."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator

from logd.cli.error_report import InputFailed

BLOCK_BYTES = 256 << 10


async def input_blocks(descriptor: int) -> AsyncIterator[bytes]:
    """Blocks of at most BLOCK_BYTES, each as soon as it is there, until the end of the input.

    A regular file is read directly: its reads do not wait for anybody. Of anything else the loop
    says when it can be read. Raises InputFailed.
    """
    waits = not stat.S_ISREG(os.fstat(descriptor).st_mode)
    while True:
        if waits:
            waits = await _readable(descriptor)
        try:
            block = os.read(descriptor, BLOCK_BYTES)
        except OSError as error:
            raise InputFailed(error.errno, error.strerror) from None
        if not block:
            return
        yield block


async def _readable(descriptor: int) -> bool:
    """Wait until a read would not block; False where the loop cannot tell (/dev/null)."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except OSError:
        return False
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
    return True
