"""Two hundred writers, a call a second each."""

from locust import constant_pacing, task
from log_users import Phases, Reader, Writer


class Writes(Writer):
    wait_time = constant_pacing(1)

    @task
    def send(self) -> None:
        self.write()


class Reads(Reader):
    @task
    def follow(self) -> None:
        self.read()


class Shape(Phases):
    writers = (200,)
