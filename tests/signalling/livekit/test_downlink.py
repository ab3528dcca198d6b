"""A session with a bound gives its media what its link leaves."""

import asyncio

import pytest

from sfu import _core
from sfu.engine import Engine
from sfu.node import Node
from signalling.livekit import session
from signalling.livekit.data_saver import ATTRIBUTE
from tests.signalling.livekit.test_inbound import join
from tests.support.livekit_client import until

LIMIT_BPS = 100_000


async def test_what_a_client_is_told_counts_against_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "MEASURE_EVERY_S", 0.1)
    with Engine(_core.Engine(udp_port=0, bind_addresses=["127.0.0.1"])) as engine:
        node = Node(engine, asyncio.get_running_loop())
        ada, link = join(node, "ada")
        bounds: list[int | None] = []
        monkeypatch.setattr(ada.subscriber, "apply_limit", bounds.append)
        context = ada.context
        context.room.update_participant(context.participant, attributes={ATTRIBUTE: "100"})
        assert bounds == [LIMIT_BPS]
        await until(lambda: len(bounds) >= 2)
        link.sent_bytes += 400
        await until(lambda: bounds[-1] != LIMIT_BPS)
        assert LIMIT_BPS // 2 <= (bounds[-1] or 0) < LIMIT_BPS
        await until(lambda: bounds[-1] == LIMIT_BPS)
        link.sent_bytes += 1_000_000
        await until(lambda: bounds[-1] == LIMIT_BPS // 2)
        context.room.update_participant(context.participant, attributes={ATTRIBUTE: ""})
        assert bounds[-1] is None
        node.stop()
