"""One member's session: what it says goes to the coordinator, what it is to be told comes back."""

import asyncio

from google.protobuf.message import DecodeError

from logd.broker.doors.grpc_door.session_wire import from_answer, to_message
from logd.broker.ports import Groups, MemberSession
from logd.model.errors import InvalidConfig
from logd.model.group_session import SessionMessage
from logd.rpc.rpc import Authorizer, RequestContext, ServerStream, check_request_bytes
from logd_proto.v1 import groups_pb2 as pb


class SessionStream:
    """Until the member leaves, its stream ends, or the coordinator ends it.

    The first message says who the member is; later ones need not repeat that.
    """

    def __init__(
        self, groups: Groups, authorizer: Authorizer, context: RequestContext, stream: ServerStream
    ) -> None:
        self._groups = groups
        self._authorizer = authorizer
        self._context = context
        self._stream = stream
        self._first: pb.SessionRequest | None = None

    async def run(self) -> None:
        message = await self._next_message()
        if message is None:
            return
        session = await self._groups.open_session(message)
        reader = asyncio.ensure_future(self._read(session))
        writer = asyncio.ensure_future(self._write(session))
        try:
            done, _ = await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            self._groups.close_session(session)
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    async def _read(self, session: MemberSession) -> None:
        while (message := await self._next_message()) is not None:
            await self._groups.say(session, message)
            if message.commit.leaving:
                await asyncio.Event().wait()  # the last answer ends the stream

    async def _write(self, session: MemberSession) -> None:
        while True:
            answer = await self._groups.answer(session)
            await self._stream.send(from_answer(answer).SerializeToString())
            if session.left:
                return

    async def _next_message(self) -> SessionMessage | None:
        raw = await self._stream.receive()
        if raw is None:
            return None
        check_request_bytes(raw)
        try:
            request = pb.SessionRequest.FromString(bytes(raw))
        except DecodeError as error:
            raise InvalidConfig(f"no SessionRequest: {error}") from None
        if self._first is None:
            self._first = request
            self._authorizer.authorize(self._context, "read", f"group:{request.group}")
        request.group, request.member_id = self._first.group, self._first.member_id
        request.instance_id = self._first.instance_id
        for topic in request.subscription.topics:
            self._authorizer.authorize(self._context, "read", f"topic:{topic}")
        return to_message(request, self._context)
