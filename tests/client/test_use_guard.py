import os

import pytest

from logd.model.errors import ClientClosed, UsedAfterFork
from logd_client.use_guard import UseGuard


def test_usable_until_closed() -> None:
    guard = UseGuard("Producer")
    guard.check()
    guard.close()
    with pytest.raises(ClientClosed, match="this Producer is closed"):
        guard.check()


def test_a_fork_makes_it_unusable_in_the_child_only() -> None:
    guard = UseGuard("Consumer")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            UseGuard("Consumer").check()
            guard.check()
        except UsedAfterFork:
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    guard.check()
