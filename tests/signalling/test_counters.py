"""The event loop's lag: who held it, and for how long."""

import asyncio
import time

from signalling.counters import LAG_EVERY_S, SignallingCounters, watch_lag

HELD_S = 0.3


async def test_work_that_holds_the_loop_is_lag_and_stall() -> None:
    counters = SignallingCounters()
    watch_lag(counters)
    await asyncio.sleep(3 * LAG_EVERY_S)
    counters.take_lag_s(), counters.take_stall_s()
    began_s = time.thread_time()
    while time.thread_time() - began_s < HELD_S:
        pass
    await asyncio.sleep(3 * LAG_EVERY_S)
    assert counters.take_lag_s() >= HELD_S - LAG_EVERY_S
    assert HELD_S - LAG_EVERY_S <= counters.take_stall_s() <= 2 * HELD_S
    assert counters.lag_s == 0.0


async def test_waiting_that_holds_the_loop_is_lag_alone() -> None:
    counters = SignallingCounters()
    watch_lag(counters)
    await asyncio.sleep(3 * LAG_EVERY_S)
    counters.take_lag_s(), counters.take_stall_s()
    time.sleep(HELD_S)  # noqa: ASYNC251 - as a disk would
    await asyncio.sleep(3 * LAG_EVERY_S)
    assert counters.take_lag_s() >= HELD_S - LAG_EVERY_S
    assert counters.take_stall_s() < HELD_S / 2
