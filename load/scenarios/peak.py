"""Five writers, then ten times as many, then five again."""

from locust import constant_pacing, task
from log_users import Phases, Reader, Run, Writer

LAG_RECORDS_MAX = 1_000
"""Two seconds of five writers."""


class Writes(Writer):
    wait_time = constant_pacing(0.2)

    @task
    def send(self) -> None:
        self.write()


class Reads(Reader):
    @task
    def follow(self) -> None:
        self.read()


class Shape(Phases):
    writers = (5, 50, 5)

    @staticmethod
    def unexpected(run: Run) -> list[str]:
        lag = run.series("lag_records")[-1]
        return [f"lag: {lag:.0f} records at the end"] if lag > LAG_RECORDS_MAX else []
