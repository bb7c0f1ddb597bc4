"""A broker with a leak, to see that a scenario finds it.

    python load/leaking_broker.py start --data-dir DIR --listen HOST:PORT

Each fetch leaves LEAK_BYTES behind.
"""

import sys
from collections.abc import Sequence

from logd.broker import partition_host
from logd.broker.fetch_reader import FetchReader
from logd.broker.ports import Fetched, FetchInterrupt, FetchPosition, FetchWait
from logd.dev.demo_broker import DemoBroker
from logd.main import main

LEAK_BYTES = 1 << 18


class LeakingBroker(DemoBroker):
    """The process, from outside."""

    @property
    def program(self) -> list[str]:
        return [sys.executable, __file__]


_left: list[bytes] = []


class LeakingReader(FetchReader):
    async def fetch(
        self, positions: Sequence[FetchPosition], wait: FetchWait, interrupt: FetchInterrupt
    ) -> list[Fetched]:
        _left.append(b"\xff" * LEAK_BYTES)
        return await super().fetch(positions, wait, interrupt)


if __name__ == "__main__":
    partition_host.FetchReader = LeakingReader  # type: ignore[attr-defined]
    main()
