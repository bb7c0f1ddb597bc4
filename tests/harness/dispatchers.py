"""Dispatchers of a test's own calls."""

from collections.abc import Iterable

from logd.broker.authorizer import AllowAll
from logd.rpc.dispatcher import Dispatcher
from logd.rpc.listener import Listener
from logd.rpc.rpc import Rpc


def dispatcher_of(rpcs: Iterable[Rpc], name: str = "public") -> Dispatcher:
    """Of a listener that has the services of all these calls, for everybody."""
    every = list(rpcs)
    services = frozenset(rpc.method[1:].rpartition("/")[0] for rpc in every)
    return Dispatcher(Listener(name, services), every, AllowAll())
