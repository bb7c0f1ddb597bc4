"""Runs a test once for each implementation of columns."""

import sys
from collections.abc import Iterator

import pytest

from logd.model import binary_columns


@pytest.fixture(scope="module", params=["stdlib", "arrow"])
def column_path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Forces either implementation, whatever the number of records."""
    if request.param == "arrow":
        pytest.importorskip("pyarrow")
    minimum = 1 if request.param == "arrow" else sys.maxsize
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binary_columns, "arrow_pack_min", minimum)
        patch.setattr(binary_columns, "arrow_unpack_min", minimum)
        yield request.param
