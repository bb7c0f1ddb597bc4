"""Which clients write and read now: the streams that they hold open."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import wraps
from itertools import islice

from logd.model.cluster import Connection
from logd.model.seams import Clock
from logd.rpc.rpc import RequestContext, Rpc, ServerStream, StreamRpc

LISTED_MAX = 10_000
"""So many are told, the oldest: an answer has some megabytes at most."""
CLIENT_ID_CHARACTERS_MAX = 256
"""Of a name that a client gives itself; more is cut off."""


@dataclass(frozen=True, slots=True, eq=False)
class _Stream:
    context: RequestContext
    does: str
    since_ms: int


class Connections:
    """Producers and consumers of the SDK hold one stream each, through either door; a client that
    only makes single calls holds none, and is not seen here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._streams: dict[_Stream, None] = {}

    def listed(self) -> Sequence[Connection]:
        """The oldest first."""
        return [
            Connection(
                stream.context.client_id[:CLIENT_ID_CHARACTERS_MAX],
                stream.context.peer,
                stream.does,
                stream.since_ms,
            )
            for stream in islice(self._streams, LISTED_MAX)
        ]

    def watched(self, rpc: Rpc) -> Rpc:
        """The call, noted while it lasts if it is a stream."""
        if not isinstance(rpc, StreamRpc) or rpc.method.endswith("/Session"):
            return rpc  # a member reads by a stream of its own
        serve, does = rpc.handler, rpc.operation

        @wraps(serve)
        async def handle(context: RequestContext, stream: ServerStream) -> None:
            noted = _Stream(context, does, self._clock.wall_ms())
            self._streams[noted] = None
            try:
                await serve(context, stream)
            finally:
                del self._streams[noted]

        return replace(rpc, handler=handle)
