"""ns a record of batches: encode, decode to lists, decode to Arrow, with pyarrow and without."""

import sys
import time
from collections.abc import Callable

from tables import print_table

from logd.model import binary_columns
from logd.model.batch_decoder import decode_batch
from logd.model.batch_encoder import encode_batch
from logd.system.system_random import SystemRandom
from logd_client.record_batch import RecordBatch

BATCH_BYTES = 512 << 10
"""A producer's full batch: `batch_size`'s default."""


def measure_codec(runs: int) -> None:
    """The best of `runs` interleaved: what the code costs, where the machine is shared."""
    rows = []
    random = SystemRandom()
    for name, size, spread in (("100 B", 100, 0), ("1 KiB", 1024, 0), ("80 to 120 B", 80, 40)):
        count = BATCH_BYTES // (size + spread // 2)
        values = [random.bytes(size + i * 7 % (spread + 1)) for i in range(count)]
        best: dict[tuple[str, str], float] = {}
        for _ in range(runs):
            for columns in ("pyarrow", "stdlib"):
                _force(columns)
                for what, work in _works(values).items():
                    took = _timed_ns(work) / count
                    best[columns, what] = min(took, best.get((columns, what), took))
        for columns in ("pyarrow", "stdlib"):
            cells = [f"{best[columns, what]:.1f}" for what in _works(values)]
            rows.append(" | ".join([f"{name}, {columns}", *cells]))
    heads = "values, columns by | encode | decode | .values | decode, .values and len | .to_arrow()"
    print_table(f"load/measure.py codec --runs {runs} (ns a record)", heads, rows)


def _works(values: list[bytes]) -> dict[str, Callable[[], object]]:
    raw = encode_batch(values, timestamps_ms=1)
    decoded = decode_batch(raw)
    batch = RecordBatch("t", 0, decoded, 0, len(values))
    return {
        "encode": lambda: encode_batch(values, timestamps_ms=1),
        "decode": lambda: decode_batch(raw),
        "values": decoded._read_values or (lambda: None),
        "all": lambda: sum(map(len, decode_batch(raw).values)),  # type: ignore[arg-type]
        "arrow": batch.to_arrow,
    }


def _force(columns: str) -> None:
    minimum = 1 if columns == "pyarrow" else sys.maxsize
    binary_columns.arrow_pack_min = binary_columns.arrow_unpack_min = minimum


def _timed_ns(work: Callable[[], object]) -> int:
    start_ns = time.perf_counter_ns()
    result = work()
    took_ns = time.perf_counter_ns() - start_ns
    del result  # as the next batch's arrival does; not counted
    return took_ns
