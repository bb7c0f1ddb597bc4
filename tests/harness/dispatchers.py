"""Dispatchers of a test's own."""

from collections.abc import Iterable

from harness.manual_clock import ManualClock
from logd.broker.authorizer import AllowAll
from logd.broker.refusals import Refusals
from logd.rpc.dispatcher import Dispatcher
from logd.rpc.listener import Listener
from logd.rpc.rpc import Authorizer, Rpc


def dispatcher(
    rpcs: Iterable[Rpc], listener: Listener | str = "public", authorizer: Authorizer | None = None
) -> Dispatcher:
    """For everybody, unless there is an authorizer. A listener that is only a name has the services
    of all these calls."""
    every = list(rpcs)
    if isinstance(listener, str):
        services = frozenset(rpc.method[1:].rpartition("/")[0] for rpc in every)
        listener = Listener(listener, services)
    return Dispatcher(listener, every, authorizer or AllowAll(), Refusals(ManualClock()))
