"""Ten writers, ten calls a second each, and a reader for each partition."""

from locust import constant_pacing, task
from log_users import Phases, Reader, Writer


class Writes(Writer):
    wait_time = constant_pacing(0.1)

    @task
    def send(self) -> None:
        self.write()


class Reads(Reader):
    @task
    def follow(self) -> None:
        self.read()


class Shape(Phases):
    writers = (10,)
