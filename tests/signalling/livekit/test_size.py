"""What one message may cost, whatever it holds: what is empty is short, and may be there often."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from livekit.protocol import models, rtc

from sfu import _core, limits
from sfu.engine import Engine
from sfu.node import Node
from signalling.livekit import inbound
from signalling.livekit.states import SessionState
from tests.signalling.livekit.test_inbound import Sent, join

CPU_S = 0.2
"""Parsing alone takes up to 0.05 for a message of the longest kind."""


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    with Engine(_core.Engine(udp_port=0, bind_addresses=["127.0.0.1"])) as engine:
        node = Node(engine, asyncio.get_running_loop())
        yield node
        node.stop()


def field(number: int, content: bytes) -> bytes:
    """A length-delimited one."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def lists(schema: Any, depth: int = 2) -> Iterator[tuple[str, list[int]]]:
    """Every list within a message, as the numbers of the fields on the way to it."""
    for one in schema.fields:
        if one.is_repeated and one.type in (one.TYPE_MESSAGE, one.TYPE_STRING):
            yield one.name, [one.number]
        if one.message_type is not None and not one.is_repeated and depth:
            for name, way in lists(one.message_type, depth - 1):
                yield f"{one.name}.{name}", [one.number, *way]


SCHEMA: Any = rtc.SignalRequest.DESCRIPTOR
LISTS = {
    name: way
    for case in SCHEMA.fields
    if case.name in inbound.HANDLERS and case.message_type is not None
    for name, way in [
        (f"{case.name}.{name}", [case.number, *way]) for name, way in lists(case.message_type)
    ]
}
ANNOUNCEMENT = rtc.AddTrackRequest(cid="c", type=models.VIDEO, source=models.CAMERA)


def full(name: str) -> bytes:
    """A frame as long as the link takes it, of nothing but empty entries of one list."""
    *way, last = LISTS[name]
    content = field(last, b"") * ((limits.MESSAGE_BYTES_MAX - 64) // len(field(last, b"")))
    if name.startswith("add_track"):
        announcement: Any = ANNOUNCEMENT
        content = announcement.SerializeToString() + content[: -limits.KIB]
    for number in reversed(way):
        content = field(number, content)
    assert len(content) <= limits.MESSAGE_BYTES_MAX
    return content


@pytest.mark.parametrize("name", LISTS)
async def test_no_message_holds_the_loop(node: Node, name: str) -> None:
    session, _ = join(node, "ada")
    frame = full(name)
    began_s = time.thread_time()
    inbound.handle(session, frame)
    assert time.thread_time() - began_s < CPU_S


def said(link: Sent) -> Any:
    return link.messages[-1].request_response


async def test_a_long_message_is_refused_by_what_it_is(node: Node) -> None:
    """And harms nobody: an application that writes too much is told so, and stays."""
    session, link = join(node, "ada")
    for text, longest in ((None, 0), ("m", limits.REQUEST_BYTES_MAX)):
        metadata = (text or "m" * 30_000) * max(longest, 1)
        update = rtc.UpdateParticipantMetadata(metadata=metadata)
        request: Any = rtc.SignalRequest(update_metadata=update)
        inbound.handle(session, request.SerializeToString())
        assert said(link).reason == rtc.RequestResponse.LIMIT_EXCEEDED
    assert "update_metadata" in said(link).message
    assert session.state is SessionState.CONNECTING


async def test_a_frame_of_several_messages_may_not_be_longer_than_the_short_ones(
    node: Node,
) -> None:
    session, link = join(node, "ada")
    offer: Any = rtc.SignalRequest(offer=rtc.SessionDescription(sdp="v=0\r\n"))
    frame = offer.SerializeToString() + full("add_track.layers")
    inbound.handle(session, frame)
    assert said(link).reason == rtc.RequestResponse.LIMIT_EXCEEDED
    assert session.state is SessionState.CONNECTING
