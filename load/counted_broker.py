"""A broker that counts the function calls of its event loop's thread.

    python load/counted_broker.py start --data-dir DIR --listen HOST:PORT

SIGUSR1 begins to count; the next one ends it, and prints the calls by place (calls.py) as JSON.
"""

import cProfile
import json
import os
import signal
import sys
from collections import Counter

from logd.broker.broker_process import run_broker
from logd.broker.config import load_config
from logd.broker.real_seams import real_seams
from logd.dev.demo_broker import DemoBroker


class CountedBroker(DemoBroker):
    """The process, from outside."""

    @property
    def program(self) -> list[str]:
        return [sys.executable, __file__]

    def begin_counting(self) -> None:
        os.kill(self.pid, signal.SIGUSR1)
        self._answer()

    def end_counting(self) -> Counter[str]:
        os.kill(self.pid, signal.SIGUSR1)
        return Counter(json.loads(self._answer()))

    def _answer(self) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        return self._process.stdout.readline()


class CallCounter:
    """In the main thread. A handler of the loop's would not run: the broker's own signals come by
    another way (StopSignals)."""

    def __init__(self) -> None:
        self._profile: cProfile.Profile | None = None
        signal.signal(signal.SIGUSR1, lambda *_: self._turn())

    def _turn(self) -> None:
        if self._profile is None:
            print("counting", flush=True)
            self._profile = cProfile.Profile()
            self._profile.enable()
            return
        from calls import calls_by_place

        self._profile.disable()
        print(json.dumps(calls_by_place(self._profile)), flush=True)
        self._profile = None


def main() -> None:
    _, _, _, data_dir, _, address = sys.argv
    config = load_config(None, {}, {"data_dir": data_dir, "listen": address})

    def serving(line: str) -> None:
        CallCounter()
        print(line, flush=True)

    sys.exit(run_broker(config, real_seams(), serving))


if __name__ == "__main__":
    main()
