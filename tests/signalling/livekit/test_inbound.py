"""Whatever a client sends, in whatever order: no exception, no leftovers."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings
from livekit.protocol import models, rtc

from sfu import _core
from sfu.engine import Engine
from sfu.node import Node
from signalling.grants import Claims, Grants
from signalling.livekit import admission, inbound
from signalling.livekit.context import SessionSettings
from signalling.livekit.link import Link
from signalling.livekit.outbox import Topic
from signalling.livekit.query import ConnectQuery
from signalling.livekit.session import Session
from signalling.livekit.sessions import Sessions
from signalling.livekit.states import SessionState
from tests.support import corpora

TEXTS = st.sampled_from(
    [
        "",
        "c1",
        "c2",
        "vp8",
        "video/h264",
        "TR_none",
        "ada",
        "PA_x",
        "v=0\r\n",
        "{}",
        "[]",
        "x" * 3000,
    ]
)
NUMBERS = st.sampled_from([0, 1, 2, 3, 7, 640, 2**31 - 1])


def messages(kind: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Any message of a type of the schema, its oneofs and repeated fields included."""
    fields = {}
    for one in kind.DESCRIPTOR.fields:
        strategy = values(one, depth)
        if strategy is not None:
            fields[one.name] = strategy
    return st.fixed_dictionaries({}, optional=fields).map(lambda chosen: kind(**chosen))


def values(one: Any, depth: int) -> st.SearchStrategy[Any] | None:
    if one.message_type is not None:
        if depth > 2 or one.message_type.GetOptions().map_entry:
            return None
        strategy = messages(one.message_type._concrete_class, depth + 1)
    elif one.enum_type is not None:
        strategy = st.sampled_from([value.number for value in one.enum_type.values] + [99])
    elif one.type == one.TYPE_STRING:
        strategy = TEXTS
    elif one.type == one.TYPE_BYTES:
        strategy = st.binary(max_size=8)
    elif one.type == one.TYPE_BOOL:
        strategy = st.booleans()
    else:
        strategy = NUMBERS
    return st.lists(strategy, max_size=3) if one.is_repeated else strategy


def requests() -> st.SearchStrategy[rtc.SignalRequest]:
    def one_case(field: Any) -> st.SearchStrategy[rtc.SignalRequest]:
        strategy = values(field, 0)
        assert strategy is not None
        return strategy.map(lambda value: rtc.SignalRequest(**{field.name: value}))

    descriptor: Any = rtc.SignalRequest.DESCRIPTOR
    return st.one_of([one_case(field) for field in descriptor.fields])


class Sent:
    """A link that only remembers, and takes everything at once."""

    def __init__(self) -> None:
        self.messages: list[rtc.SignalResponse] = []
        self.closing = False
        self.held_bytes = self.sent_bytes = 0

    def send(self, message: bytes) -> None:
        self.messages.append(rtc.SignalResponse.FromString(message))

    def offer(self, message: bytes) -> None:
        self.send(message)

    def latest(self, _key: object, encode: Callable[[], bytes]) -> None:
        self.send(encode())

    def tell(self, topic: Topic, notice: object) -> None:
        for message in topic.whole(notice):
            self.send(message)

    def close(self, last: bytes = b"", code: int = 1000, reason: str = "") -> None:
        self.closing = True


def join(node: Node, identity: str) -> tuple[Session, Sent]:
    grants = Grants(room="hall", room_join=True, can_update_own_metadata=True)
    claims = Claims(identity, grants)
    query = ConnectQuery()
    settings = SessionSettings(issue_token=lambda _claims: "token")
    session = Session(node, Sessions(), claims, query, settings)
    link = Sent()
    assert session.open(admission.check(node, claims, query), cast("Link", link))
    return session, link


def test_no_request_is_a_fault_of_ours() -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(requests(), max_size=12))
    def check(sequence: list[rtc.SignalRequest]) -> None:
        asyncio.run(play(sequence))

    async def play(sequence: list[rtc.SignalRequest]) -> None:
        with Engine(_core.Engine(udp_port=0, bind_addresses=["127.0.0.1"])) as engine:
            node = Node(engine, asyncio.get_running_loop())
            other, _ = join(node, "bo")
            session, link = join(node, "ada")
            for request in sequence:
                if session.state is SessionState.ENDED:
                    session, link = join(node, "ada")
                inbound.handle(session, cast("Any", request).SerializeToString())
            if session.state is not SessionState.ENDED:
                # It is as alive as before, and the others have not been harmed.
                inbound.handle(session, rtc.SignalRequest(ping=1).SerializeToString())
                assert link.messages[-1].WhichOneof("message") == "pong"
            assert other.state is SessionState.CONNECTING
            assert node.find_room("hall").member("bo").state == models.ParticipantInfo.JOINED
            node.stop()
            assert node.list_rooms() == ()

    check()


async def test_no_sample_and_no_truncation_of_it_is_a_fault_of_ours() -> None:
    """As frames of their own, and as descriptions inside well-formed requests."""
    with Engine(_core.Engine(udp_port=0, bind_addresses=["127.0.0.1"])) as engine:
        node = Node(engine, asyncio.get_running_loop())
        other, _ = join(node, "bo")
        session, link = join(node, "ada")
        for frame in [*corpora.truncations(), *map(offer, corpora.samples("sdp"))]:
            if session.state is SessionState.ENDED:
                session, link = join(node, "ada")
            link.messages.clear()
            with contextlib.suppress(inbound.MalformedMessageError):
                inbound.handle(session, frame)
        assert other.state is SessionState.CONNECTING
        assert node.find_room("hall").member("bo").state == models.ParticipantInfo.JOINED
        node.stop()


def offer(description: bytes) -> bytes:
    text = description.decode("latin-1")
    request = rtc.SignalRequest(offer=rtc.SessionDescription(type="offer", sdp=text))
    return request.SerializeToString()
