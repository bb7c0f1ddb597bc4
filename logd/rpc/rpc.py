"""Calls with their handlers, as a Dispatcher is given them, and who asks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import Message

from logd.model.errors import InvalidConfig, LogdError
from logd.model.seams import Buffer

Refused = Callable[[LogdError], object]
"""Told of an error that one entry of a stream is given."""

REQUEST_BYTES_MAX = 4 << 20
"""Of calls that carry no batches. Parsed, a hostile request takes fifty times its bytes."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who asks, from where, until when. `deadline_ms` is on the monotonic clock; None: no bound."""

    principal: str
    client_id: str
    peer: str
    listener: str
    deadline_ms: int | None


class Authorizer(Protocol):
    """Says whether a principal may do an operation on a resource; raises AclDenied if not."""

    def authorize(self, context: RequestContext, operation: str, resource: str) -> None: ...


class ServerStream(Protocol):
    """The server's side of a bidirectional stream of serialized messages."""

    async def receive(self) -> Buffer | None:
        """The next request; None when the client has no more."""
        ...

    async def send(self, message: bytes) -> None: ...


def check_request_bytes(message: Buffer) -> None:
    """Raises InvalidConfig past REQUEST_BYTES_MAX."""
    if len(message) > REQUEST_BYTES_MAX:
        raise InvalidConfig(
            f"the request has {len(message)} bytes, but at most {REQUEST_BYTES_MAX} are allowed",
            size=len(message),
            limit=REQUEST_BYTES_MAX,
        )


@dataclass(frozen=True, slots=True)
class UnaryRpc:
    """A call with one request and one response.

    `operation` and `resource(request)` are what the Authorizer is asked, before the handler runs:
    for example 'write' on 'topic:orders', 'read' on 'group:billing', 'describe' on 'cluster'.
    """

    method: str
    request_type: type[Message]
    handler: Callable[[RequestContext, Any], Awaitable[Message]]
    operation: str
    resource: Callable[[Any], str]
    check_size: Callable[[Buffer], None] = check_request_bytes
    """Called before parsing: raises InvalidConfig."""


@dataclass(frozen=True, slots=True)
class StreamRpc:
    """A bidirectional stream. The handler authorizes each entry; operation names what for."""

    method: str
    handler: Callable[[RequestContext, ServerStream], Awaitable[None]]
    operation: str


Rpc = UnaryRpc | StreamRpc
