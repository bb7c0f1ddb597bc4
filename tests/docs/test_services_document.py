"""The service of docs/services.md, started before its broker, which is killed and comes back."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from harness.broker_process import BrokerProcess
from logd.sync import Admin

PAGE = (Path(__file__).parents[2] / "docs" / "services.md").read_text("utf-8")
(CODE,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BEFORE = """
import logging
from logd import Producer
from logd.errors import LogdError
"""


@pytest.mark.slow
async def test_it_says_try_again_while_there_is_no_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BrokerProcess(tmp_path) as broker:
        with Admin(bootstrap_servers=broker.address) as admin:
            admin.create_topic("registrations", 1)
        broker.kill()
        monkeypatch.setenv("LOGD_BOOTSTRAP", broker.address)
        names: dict[str, Any] = {}
        exec(compile(BEFORE + CODE, "docs/services.md", "exec"), names)
        events = names["Events"]()
        assert await events.register("ada") == 503
        await asyncio.to_thread(broker.start)
        assert await events.register("bob") == 201
        broker.kill()
        assert await events.register("cy") == 503
        await asyncio.to_thread(broker.start)
        assert await events.register("dan") == 201
        await events.stop()
