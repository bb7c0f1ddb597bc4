"""The members of a run's group: they come, read, commit, leave, or vanish without a word."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from logd.model.errors import FencedMember, LogdError
from logd.sim.seeded_random import SeededRandom
from logd.testing.group_story import GroupStory
from logd.testing.history import History
from logd_client import Consumer

GROUP = "billing"
MEMBERS = 3
START_PATIENCE_S = 60
"""A member waits without end for its broker, but the broker of a run comes back only after all
clients have ended where its disk keeps it from starting."""


class GroupReaders:
    """MEMBERS consumers at a time, which share `topics`; who ends is followed by another.

    `history` judges each member's way, `story` how they share.
    """

    def __init__(
        self,
        topics: list[str],
        client: Callable[[str], dict[str, Any]],
        random: SeededRandom,
        now_ms: Callable[[], int],
        history: History,
        failed: Callable[[str, LogdError], None],
    ) -> None:
        self.story = GroupStory()
        self._topics = topics
        self._client = client
        self._random = random
        self._now_ms = now_ms
        self._history = history
        self._failed = failed

    async def run(self, number: int, stopping: Callable[[], bool]) -> None:
        """The lives of one after the other."""
        life = 0
        while not stopping():
            life += 1
            name = f"{number}.{life}"
            try:
                await self._live(name, stopping)
            except LogdError as error:
                self._failed(f"member {name}", error)
                await asyncio.sleep(self._random.uniform(0, 0.5))

    async def _live(self, name: str, stopping: Callable[[], bool]) -> None:
        random, reader = self._random.fork(name), f"{GROUP}-{name}"
        instance_id = f"static-{name[0]}" if random.chance(0.2) else None
        wants = list(self._topics) if random.chance(0.7) else [random.pick(self._topics)]

        def assigned(partitions: list[tuple[str, int]]) -> None:
            for topic, partition in partitions:
                where = f"{topic}:{partition}"
                self.story.assigned(self._now_ms(), name, where)
                self._history.rewound(reader, where, consumer.position(topic, partition))

        def revoked(partitions: list[tuple[str, int]]) -> None:
            for topic, partition in partitions:
                self.story.released(self._now_ms(), name, f"{topic}:{partition}")

        def lost(partitions: list[tuple[str, int]]) -> None:
            for topic, partition in partitions:
                self.story.lost(self._now_ms(), name, f"{topic}:{partition}")

        consumer = Consumer(
            *wants,
            **self._client(f"member-{name}"),
            group_instance_id=instance_id,
            group_id=GROUP,
            enable_auto_commit=False,
            session_timeout_ms=10_000,
            revocation_timeout_ms=5_000,
            on_assigned=assigned,
            on_revoked=revoked,
            on_lost=lost,
        )
        self.story.joined(name)
        try:
            try:
                async with asyncio.timeout(START_PATIENCE_S):
                    await consumer.start()
            except TimeoutError:
                return
            until_ms = self._now_ms() + int(1000 * random.pick((0.5, 3, 20, 120)))
            while not stopping() and self._now_ms() < until_ms:
                await self._read_some(name, reader, consumer, random)
            if random.chance(0.5):
                with suppress(FencedMember):
                    await consumer.close()
        finally:
            self.story.gone(self._now_ms(), name)
            await consumer._end()  # as if it was killed, where it did not close

    async def _read_some(
        self, name: str, reader: str, consumer: Consumer, random: SeededRandom
    ) -> None:
        for record in await consumer.poll(timeout_ms=1_000):
            where = f"{record.topic}:{record.partition}"
            payload = (record.value or b"").partition(b"|")[0]
            self._history.delivered(reader, where, record.offset, payload)
            self.story.delivered(where, record.offset)
        if not random.chance(0.3):
            return
        held = {key: consumer.position(*key) for key in consumer.assignment}
        try:
            taken = await consumer.commit()
        except FencedMember:
            return  # of some; what became of the others is seen in the end
        for (topic, partition), offset in held.items() if taken else ():
            self.story.committed(f"{topic}:{partition}", offset)
