"""Data directories of earlier versions: opened, they tell what those told."""

from pathlib import Path

import pytest

from harness.kept_data import KEPT, extracted, tell
from harness.local_broker import local_broker

KEPT_NAMES = sorted(path.name for path in KEPT.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", KEPT_NAMES)
async def test_it_tells_what_it_told_then(tmp_path: Path, name: str) -> None:
    told = extracted(name, tmp_path)
    for _ in range(2):  # and so it does once this version has written to it
        async with local_broker(tmp_path) as local:
            assert await tell(local) == told
