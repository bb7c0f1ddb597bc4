"""Readers that take a little each second, in the second half: writers must not feel it."""

import gevent
from locust import constant_pacing, task
from log_users import DRAIN_BYTES, Phases, Reader, Run, Writer
from verdict import slowed


class Writes(Writer):
    wait_time = constant_pacing(0.1)

    @task
    def send(self) -> None:
        self.write()


class Reads(Reader):
    @task
    def follow(self) -> None:
        self.read(4096 if self.in_second_half() else DRAIN_BYTES)
        if self.in_second_half():
            gevent.sleep(1)


class Shape(Phases):
    writers = (10,)

    @staticmethod
    def unexpected(run: Run) -> list[str]:
        return slowed(run.series("produce_ms"), times=2, more_ms=5)
