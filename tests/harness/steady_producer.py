"""Writes on and on beside a test that copies, kills or looks at what is written."""

import asyncio
from collections.abc import Sequence

from logd_client import Producer

VALUE_BYTES = 4000
IN_FLIGHT_RECORDS = 100
ACKNOWLEDGED_BEFORE = 600
"""Records of each topic, in segments of 1 MiB: several are sealed before a copy begins, and more
while it goes on."""

Values = dict[int, bytes | None]


class SteadyProducer:
    """Writes to its topics, of one partition each, until it is stopped.

    `acknowledged`: what was, by topic and offset."""

    def __init__(self, address: str, topics: Sequence[str]) -> None:
        self.acknowledged: dict[str, Values] = {topic: {} for topic in topics}
        self.far_enough = {topic: asyncio.Event() for topic in topics}
        self.stopping = False
        self._address = address

    async def run(self, topic: str) -> None:
        count = 0
        async with Producer(bootstrap_servers=self._address) as producer:
            while not self.stopping:
                values = []
                for _ in range(IN_FLIGHT_RECORDS):
                    values.append((b"%s %d " % (topic.encode(), count)).ljust(VALUE_BYTES, b"."))
                    count += 1
                handles = [await producer.send(topic, value) for value in values]
                for value, handle in zip(values, handles, strict=True):
                    offset = (await handle).offset
                    assert offset is not None
                    self.acknowledged[topic][offset] = value
                if count >= ACKNOWLEDGED_BEFORE:
                    self.far_enough[topic].set()
