"""Compresses large batches in a thread of its own, while the event loop fills the next."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable

from logd.model.batch_codecs import compress
from logd.model.record_batch import Codec
from logd_client.core.producer_batch import ProducerBatch
from logd_client.diagnostics import logger

COMPRESSED_APART_BYTES_MIN = 128 << 10
"""Compressing less takes no longer than handing it to another thread, 0.1 ms."""

Job = tuple[ProducerBatch, bytes]


class BatchCompressor:
    """Of one producer, called on its event loop; `done` is called there once a batch may be sent.

    `begin` waits until the batch before is compressed and this one begun. So the thread gets the
    interpreter when it needs it, which a loop that never waits would else keep for 5 ms at a time
    (sys.getswitchinterval), and at most one batch is ahead of the loop.
    """

    def __init__(self, codec: Codec, done: Callable[[ProducerBatch], None]) -> None:
        self._codec = codec
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._begun = threading.Lock()
        self._begun.acquire()
        self._thread: threading.Thread | None = None

    def begin(self, batches: Iterable[ProducerBatch]) -> None:
        """Those of them that are worth it."""
        for batch in batches:
            if batch.reserved_bytes < COMPRESSED_APART_BYTES_MIN:
                continue
            body = batch.begin_compressing(self._codec)
            if body is None:
                continue
            if not self._has_thread():
                batch.end_compressing(None, self._codec)
                continue
            self._jobs.put((batch, body))
            self._begun.acquire()

    def _has_thread(self) -> bool:
        """Starts it if need be; none can be at the interpreter's exit, or at a limit of threads."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="logd-compress", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def close(self) -> None:
        """The thread ends after the batch that it is at."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch, body = job
            self._begun.release()
            compressed: bytes | None = None
            try:
                compressed = compress(body, self._codec)
            except Exception as error:  # a thread that ends would leave its loop waiting
                logger.warning("compression_failed", error=repr(error))
            try:
                self._loop.call_soon_threadsafe(self._end, batch, compressed)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _end(self, batch: ProducerBatch, body: bytes | None) -> None:
        batch.end_compressing(body, self._codec)
        self._done(batch)
