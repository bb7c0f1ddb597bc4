"""What a benchmark reports: wall time, the clients' CPU time, percentiles."""

from time import perf_counter, process_time

from logd.cli.output import Json


class BenchMeter:
    """Runs from its making until `stop`. CPU is user and system time of all threads here."""

    def __init__(self) -> None:
        self._started_s, self._started_cpu_s = perf_counter(), process_time()
        self._seconds = self.cpu_s = 0.0

    def stop(self) -> None:
        """End of what is measured."""
        self._seconds = perf_counter() - self._started_s
        self.cpu_s = process_time() - self._started_cpu_s

    def row(
        self, records: int, size_bytes: int, latencies_s: list[float], others_cpu_s: float = 0.0
    ) -> Json:
        """The figures. `others_cpu_s`: of clients in other processes."""
        cpu_s = self.cpu_s + others_cpu_s
        return {
            "records": records,
            "bytes": size_bytes,
            "seconds": round(self._seconds, 3),
            "records_per_second": round(records / self._seconds),
            "mb_per_second": round(size_bytes / self._seconds / 1e6, 2),
            "client_cpu_seconds_per_million": round(cpu_s / records * 1e6, 3) if records else None,
            "latency_ms": percentiles_ms(latencies_s),
        }


def percentiles_ms(latencies_s: list[float]) -> Json | None:
    """p50 to max in ms, by nearest rank; None where nothing was timed."""
    if not latencies_s:
        return None
    ranked = sorted(latencies_s)
    ranks = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "max": 1.0}
    return {
        name: round(ranked[max(0, -int(-share * len(ranked) // 1) - 1)] * 1000, 3)
        for name, share in ranks.items()
    }
