"""A node with its engine, in the test's own process, and a room on it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sfu import _core
from sfu.engine import Engine
from sfu.node import Node
from sfu.room import Room
from sfu.values import RoomOptions


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    with Engine(_core.Engine(udp_port=0, bind_addresses=["127.0.0.1"])) as engine:
        node = Node(engine, asyncio.get_running_loop())
        yield node
        node.stop()


@pytest.fixture
def room(node: Node) -> Room:
    return node.room("hall", RoomOptions())
