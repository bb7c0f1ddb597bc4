"""As steady, for long: run it with --seconds 600 --samples FILE."""

from locust import constant_pacing, task
from log_users import Phases, Reader, Writer


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
    writers = (10,)
