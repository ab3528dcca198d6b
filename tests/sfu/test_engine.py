"""asyncio around the native engine: events arrive, a faulty handler hurts nobody, one stop."""

import asyncio

import pytest

from sfu import _core
from sfu.engine import Engine, TransportEvent
from tests.support.livekit_client import until


def native() -> _core.Engine:
    return _core.Engine(udp_port=0, bind_addresses=["127.0.0.1"])


async def test_events_reach_whoever_watches() -> None:
    with Engine(native()) as engine:
        first = engine.core.open_transport().transport_id
        second = engine.core.open_transport().transport_id
        seen: list[TransportEvent] = []

        def fail(_event: TransportEvent) -> None:
            raise RuntimeError("a session's fault")

        engine.watch_transport(first, fail)
        engine.watch_transport(second, seen.append)
        engine.core.close_transport(first)
        engine.core.close_transport(second)
        await until(lambda: len(seen) > 0)
        event = seen[-1]
        assert isinstance(event, _core.TransportStateChanged)
        assert (event.transport_id, event.state, event.reason) == (second, "closed", "requested")


async def test_a_closed_transport_is_not_heard_of_again() -> None:
    with Engine(native()) as engine:
        transport = engine.core.open_transport().transport_id
        seen: list[TransportEvent] = []
        engine.watch_transport(transport, seen.append)
        engine.close_transport(transport)
        await asyncio.sleep(0.2)
        assert seen == []


async def test_stopping_twice_is_harmless_and_commands_are_refused() -> None:
    engine = Engine(native())
    transport = engine.core.open_transport().transport_id
    engine.stop()
    engine.stop()
    engine.close_transport(transport)
    assert engine.stopped
    with pytest.raises(RuntimeError):
        engine.core.open_transport()
