"""The table of errnos, row by row, and that no call of the seam stands outside of it."""

import errno

import pytest

from logd.model.errors import LogdError, LogReadOnly, Overloaded, StorageFull
from logd.model.seams import FailedSync, File, FileSystem
from logd.sim.disk_faults import CALLS, SYNCS, failed_call
from logd_partitions.core.disk_errors import (
    DEFAULTS,
    TABLE,
    Call,
    Meaning,
    is_full,
    meaning,
    passes,
    write_error,
)

NOTHING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OTHER = (errno.EIO, errno.EROFS, errno.ENODEV, errno.ESTALE, errno.EACCES, errno.ENOTDIR)
NEVER_FAIL_HERE = {"close", "drop_cache", "pread_cached"}
"""Calls whose errors mean nothing: after them nothing is relied on."""
SIMULATED_SOUND = {"exists", "size", "free_bytes", "total_bytes", "lock"}
"""They fail in `test_first_append_errnos` alone, or at a start."""

ROWS: list[tuple[Call, int, Meaning]] = [
    *[("other", number, Meaning.NOTHING_HAPPENED) for number in NOTHING],
    *[("other", number, Meaning.FULL) for number in FULL],
    *[("other", number, Meaning.BROKEN) for number in OTHER],
    *[("sync", number, Meaning.UNKNOWN) for number in (*NOTHING, *FULL, *OTHER)],
]


@pytest.mark.parametrize(("call", "number", "means"), ROWS)
def test_a_row(call: Call, number: int, means: Meaning) -> None:
    error = (FailedSync if call == "sync" else OSError)(number, "as the system says")
    assert meaning(error) is means
    passing = means in (Meaning.NOTHING_HAPPENED, Meaning.FULL)
    assert passes(error) is passing
    raised: type[LogdError] = LogReadOnly
    if passing:
        raised = StorageFull if means is Meaning.FULL else Overloaded
    assert type(write_error(error, "/data/x")) is raised
    assert is_full(error) is (number in FULL), "whatever that means to the call"


def test_every_row_is_tried_and_an_error_without_a_number_is_the_worst() -> None:
    assert {(call, number) for call, number, _ in ROWS} >= TABLE.keys()
    assert meaning(OSError("no number")) is DEFAULTS["other"] is Meaning.BROKEN
    assert meaning(FailedSync("no number")) is DEFAULTS["sync"] is Meaning.UNKNOWN
    assert not passes(ValueError()), "only what the system says"


def test_every_call_of_the_seam_can_fail_in_the_simulator() -> None:
    seam = {
        name
        for kind in (File, FileSystem)
        for name in vars(kind)
        if not name.startswith("_") and callable(getattr(kind, name))
    }
    assert seam - NEVER_FAIL_HERE - SIMULATED_SOUND == set(CALLS) - {"create"}
    assert set(CALLS) >= SYNCS


@pytest.mark.parametrize("call", CALLS)
def test_only_a_sync_fails_as_a_sync_and_not_for_lack_of_a_descriptor(call: str) -> None:
    assert isinstance(failed_call(call, errno.EIO, "x"), FailedSync) is (call in SYNCS)
    assert not isinstance(failed_call(call, errno.EMFILE, "x"), FailedSync)
