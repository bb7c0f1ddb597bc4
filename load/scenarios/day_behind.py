"""Readers start in the second half on a backlog that has left the page cache."""

import gevent
from locust import constant_pacing, task
from log_users import Phases, Reader, Run, Writer
from verdict import slowed

LAG_RECORDS_MAX = 2_000
"""A second of ten writers."""


class Writes(Writer):
    wait_time = constant_pacing(0.1)

    @task
    def send(self) -> None:
        self.write()


class Reads(Reader):
    @task
    def follow(self) -> None:
        if self.in_second_half():
            self.read()
        else:
            gevent.sleep(0.1)


class Shape(Phases):
    writers = (10,)
    backlog_mib = 256

    @staticmethod
    def unexpected(run: Run) -> list[str]:
        behind = [] if run.lag_records <= LAG_RECORDS_MAX else ["lag: the backlog was not read"]
        return behind + slowed(run.series("produce_ms"), times=4, more_ms=20)
