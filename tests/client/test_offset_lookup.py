"""Positions that are looked up in the log, and what happens meanwhile."""

from harness.fake_fetch_broker import FakeFetchBroker
from logd_client.consumer import Consumer


class SoughtMeanwhile(FakeFetchBroker):
    """Does `meanwhile` between the look-up of an offset and its answer."""

    async def unary(self, address: str, method: str, request: bytes, timeout_ms: int) -> bytes:
        answer = await super().unary(address, method, request, timeout_ms)
        if method.endswith("/ListOffsets"):
            self.meanwhile()
        return answer

    def meanwhile(self) -> None:
        pass


async def test_a_seek_while_a_position_is_looked_up_wins() -> None:
    broker = SoughtMeanwhile()
    broker.create_topic("t")[0].append([b"v"] * 12)
    consumer = Consumer("t", transport=broker, auto_offset_reset="latest")
    broker.meanwhile = lambda: consumer.seek("t", 0, 5)  # type: ignore[method-assign]
    async with consumer:
        assert consumer.position("t", 0) == 5
        assert (await consumer.poll(60_000))[0].offset == 5
