"""`/rtc` from the moment in which a WebSocket is accepted: its session, new or resumed.

One task reads what the client asks, one writes what it is told. After each request others get their
turn, however many a client sends at once.
"""

import asyncio
import logging

from aiohttp import WSMsgType, web

from sfu import limits
from sfu.node import Node
from signalling.grants import Claims
from signalling.http.connection import vouch
from signalling.livekit import admission as admissions
from signalling.livekit import inbound, resume
from signalling.livekit.context import SessionSettings
from signalling.livekit.link import INVALID_PAYLOAD, POLICY_VIOLATION, Link
from signalling.livekit.query import ConnectQuery
from signalling.livekit.session import Session
from signalling.livekit.sessions import Sessions

log = logging.getLogger(__name__)


async def serve_websocket(
    request: web.Request,
    node: Node,
    sessions: Sessions[Session],
    claims: Claims,
    query: ConnectQuery,
    settings: SessionSettings,
) -> web.WebSocketResponse:
    """Serves a client whose token allows it to join, until its link closes.

    Raises `JoinRefusedError` before the WebSocket is accepted, so that it becomes an HTTP answer.
    """
    admission = admissions.check(node, claims, query)
    socket = web.WebSocketResponse(
        # Compression would cost memory for each client, and the messages are small.
        compress=False,
        max_msg_size=limits.MESSAGE_BYTES_MAX,
        # The transport's own bound counts, after each message.
        writer_limit=0,
    )
    await socket.prepare(request)
    vouch(request)
    link = Link(socket, request.transport, sessions.turns)
    writer = asyncio.create_task(link.run_writer())
    session: Session | None = None
    try:
        if query.reconnect:
            session = resume.resume(sessions, admission, claims, query, link)
        else:
            session = Session(node, sessions, claims, query, settings)
            if not session.open(admission, link):
                session = None
        if session is not None:
            await _read(socket, session, link)
    finally:
        if session is not None:
            session.link_lost(link)
        link.close()
        await writer
    return socket


async def _read(socket: web.WebSocketResponse, session: Session, link: Link) -> None:
    limiter = inbound.RateLimiter(session.context.clock)
    async for message in socket:
        if link.closing:
            continue
        if message.type is WSMsgType.BINARY:
            if not limiter.allow(len(message.data)):
                link.close(code=POLICY_VIOLATION, reason="too many messages")
                return
            session.credentials.heard()
            try:
                limiter.charge(inbound.handle(session, message.data))
            except inbound.MalformedMessageError as error:
                link.close(code=INVALID_PAYLOAD, reason=str(error))
                return
            # What has come in one segment is read without waiting: a hundred requests in a row.
            await asyncio.sleep(0)
        elif message.type is WSMsgType.TEXT:
            log.debug("text frame ignored")
