"""asyncio around the native engine: events arrive, a faulty handler hurts nobody, one stop."""

import asyncio
import os
from typing import cast

import pytest

from sfu import _core
from sfu.engine import Engine, EngineBusyError, TransportEvent
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


class FullThread:
    """A native engine whose command queue has room for `room` more commands."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[tuple[str, int]] = []
        self._news, self._signal = os.pipe()
        self.event_fd = self._news

    def _take(self, name: str, number: int) -> None:
        if self.room == 0:
            raise RuntimeError("the media thread does not keep up with its commands")
        self.room -= 1
        self.taken.append((name, number))

    def close_transport(self, number: int) -> None:
        self._take("close_transport", number)

    def unsubscribe(self, number: int) -> None:
        self._take("unsubscribe", number)

    def restart_ice(self, number: int) -> str:
        self._take("restart_ice", number)
        return "credentials"

    def stop(self) -> None:
        os.close(self._news)
        os.close(self._signal)


async def test_orders_to_a_full_thread_wait_and_keep_their_order() -> None:
    core = FullThread(room=1)
    with Engine(cast("_core.Engine", core)) as engine:
        engine.unsubscribe(1)
        engine.unsubscribe(2)
        engine.close_transport(3)
        with pytest.raises(EngineBusyError):
            engine.ask(core.restart_ice, 4)
        assert core.taken == [("unsubscribe", 1)]
        core.room = 10
        engine.unsubscribe(5)
        await until(lambda: len(core.taken) == 4)
        assert [number for _, number in core.taken] == [1, 2, 3, 5]
        assert engine.ask(core.restart_ice, 6) == "credentials"


async def test_a_thread_that_takes_nothing_any_more_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sfu.engine.ORDERS_MAX", 3)
    failures: list[str] = []
    with Engine(cast("_core.Engine", FullThread(room=0))) as engine:
        engine.watch_failure(lambda: failures.append("failed"))
        for number in range(3):
            engine.unsubscribe(number)
        assert failures == []
        engine.unsubscribe(3)
        assert failures == ["failed"]


async def test_an_order_about_what_has_gone_does_not_hold_up_the_others() -> None:
    core = FullThread(room=0)
    with Engine(cast("_core.Engine", core)) as engine:

        def gone(_number: int) -> None:
            if core.room == 0:
                raise RuntimeError("full")
            raise ValueError("unknown")

        engine.order(gone, 1)
        engine.unsubscribe(2)
        core.room = 1
        await until(lambda: core.taken == [("unsubscribe", 2)])
