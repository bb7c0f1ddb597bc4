"""The one way that a call takes into the broker, through whatever it came."""

from collections.abc import Iterable
from typing import Any, Protocol

import structlog
from google.protobuf.message import DecodeError, Message

from logd.model.errors import InvalidConfig, LogdError, UnsupportedVersion
from logd.rpc.listener import Listener
from logd.rpc.rpc import Authorizer, RequestContext, Rpc, ServerStream, StreamRpc, UnaryRpc

logger = structlog.get_logger()


class Watch(Protocol):
    """Hears what calls come to."""

    def note(self, error: LogdError) -> None:
        """What one is refused with."""
        ...

    def answered(self, request: Any, response: Any) -> None: ...


class Dispatcher:
    """Answers the calls of one listener: of its services, whatever else it is given.

    Every method raises LogdErrors alone. A fault of ours becomes a plain LogdError, whose
    `__cause__` it is; it is logged, and told to no client but by its class.
    """

    def __init__(
        self, listener: Listener, rpcs: Iterable[Rpc], authorizer: Authorizer, watch: Watch
    ) -> None:
        self.listener = listener
        self.rpcs = {rpc.method: rpc for rpc in rpcs if listener.has(rpc.method)}
        self._authorizer = authorizer
        self._watch = watch

    async def unary(self, context: RequestContext, method: str, message: bytes) -> bytes:
        """The serialized answer to a serialized request."""
        rpc = self.rpcs.get(method)
        if not isinstance(rpc, UnaryRpc):
            raise _unknown(method)
        rpc.check_size(message)
        try:
            request = rpc.request_type.FromString(message)
        except DecodeError as error:
            name = rpc.request_type.DESCRIPTOR.name
            raise InvalidConfig(f"the request is no {name}: {error}") from None
        answer = await self.answer(context, method, request)
        return answer.SerializeToString()

    async def answer(self, context: RequestContext, method: str, request: Message) -> Message:
        """As `unary`, where the request is a message already."""
        rpc = self.rpcs.get(method)
        if not isinstance(rpc, UnaryRpc):
            raise _unknown(method)
        try:
            self._authorizer.authorize(context, rpc.operation, rpc.resource(request))
            response = await rpc.handler(context, request)
            self._watch.answered(request, response)
            return response
        except LogdError as error:
            self._watch.note(error)
            raise
        except Exception as fault:
            raise unexpected(method, fault) from fault

    def stream_rpc(self, method: str) -> StreamRpc:
        """Raises UnsupportedVersion where this listener has no such stream."""
        rpc = self.rpcs.get(method)
        if not isinstance(rpc, StreamRpc):
            raise _unknown(method)
        return rpc

    async def stream(self, context: RequestContext, method: str, stream: ServerStream) -> None:
        """Serve a stream until its client ends it."""
        rpc = self.stream_rpc(method)
        try:
            await rpc.handler(context, stream)
        except LogdError as error:
            self._watch.note(error)
            raise
        except Exception as fault:
            raise unexpected(method, fault) from fault


def unexpected(method: str, fault: BaseException) -> LogdError:
    """A fault of ours: logged with its traceback, told to the client without one."""
    logger.error("a request failed unexpectedly", method=method, exc_info=fault)
    return LogdError(f"the broker failed unexpectedly: {type(fault).__name__}")


def _unknown(method: str) -> LogdError:
    return UnsupportedVersion(f"this broker has no call {method!r} here")
