"""What send_many() refuses, it refuses before anything is added."""

import pytest

from harness.fake_broker import FakeBroker
from harness.fake_transport import FakeTransport
from logd.model.errors import RecordTooLarge
from logd_client.producer import Producer

Values = list[bytes | None]
LARGE_LAST: dict[str, tuple[Values, Values | None]] = {
    "value": ([*([b"v"] * 4_999), b"x" * 2_048], None),
    "key": ([b"v", None], [b"", b"x" * 2_048]),
}


@pytest.mark.parametrize("what", LARGE_LAST)
async def test_of_many_none_is_added_where_one_is_too_large(what: str) -> None:
    transport = FakeTransport(FakeBroker())
    transport.broker.create_topic("small", message_bytes_max="2048")
    values, keys = LARGE_LAST[what]
    async with Producer(transport=transport, linger_ms=0) as producer:
        with pytest.raises(RecordTooLarge) as caught:
            await producer.send_many("small", values, keys)
        assert caught.value.details["index"] == str(len(values) - 1)
        assert caught.value.details["added"] == "0" and producer.buffered_bytes == 0
        transport.broker.topics["small"].config["message_bytes_max"] = "4096"
        assert len(await (await producer.send_many("small", values, keys))) == len(values)
