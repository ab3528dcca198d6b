"""What well-formed messages of one speaker cost a hundred listeners, over real links.

The speaker does one thing as fast as its own rate limit allows. No listener is ended, each gets at
most 8 kbit/s of signalling from it beside the burst that everybody may cause, the event loop is
held for 50 ms at most, and whoever sends a message of their own meanwhile is answered.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest
from livekit.protocol import models, rtc

from sfu.limits import METADATA_BYTES_MAX, PACE_BURST_BYTES
from tests.support.crowd import Guest, Speaker, hall
from tests.support.livekit_client import until
from tests.support.server import Server

LISTENERS = 100
SECONDS = 6.0
PER_SECOND = 90.0  # below what ends the speaker itself
LARGE_PER_SECOND = 15.0  # of messages of 16 KiB or a hundred tracks, which count for five or six
LIMIT_BPS = 8_000
STALL_S = 0.05
STALL = "kinguicall_event_loop_stall_seconds"

Step = Callable[[Speaker, int], Awaitable[None]]


def own_tracks(speaker: Speaker) -> list[models.TrackInfo]:
    return [track for one in speaker.participants.values() for track in one.tracks]


async def forbid_and_allow(speaker: Speaker, step: int) -> None:
    rules = rtc.SubscriptionPermission(all_participants=step % 2 == 1)
    await speaker.send(subscription_permission=rules)


async def take_turns(speaker: Speaker, step: int) -> None:
    entries = [
        rtc.TrackPermission(participant_identity=f"listener-{number}", all_tracks=True)
        for number in range(step % 2, LISTENERS, 2)
    ]
    rules = rtc.SubscriptionPermission(all_participants=False, track_permissions=entries)
    await speaker.send(subscription_permission=rules)


async def mute_and_unmute(speaker: Speaker, step: int) -> None:
    sid = speaker.latest["track_published"].track.sid
    await speaker.send(mute=rtc.MuteTrackRequest(sid=sid, muted=step % 2 == 0))


async def change_metadata(speaker: Speaker, step: int) -> None:
    text = f"{step:06}" + "m" * (METADATA_BYTES_MAX - 6)
    await speaker.send(update_metadata=rtc.UpdateParticipantMetadata(metadata=text))


async def change_attributes(speaker: Speaker, step: int) -> None:
    patch = {f"key-{step % 50}": str(step)}
    await speaker.send(update_metadata=rtc.UpdateParticipantMetadata(attributes=patch))


async def change_name(speaker: Speaker, step: int) -> None:
    await speaker.send(update_metadata=rtc.UpdateParticipantMetadata(name=f"name {step}"))


async def subscribe_and_unsubscribe(speaker: Speaker, step: int) -> None:
    sids = [f"TR_none{number}" for number in range(100)]
    wish = rtc.UpdateSubscription(track_sids=sids, subscribe=step % 2 == 0)
    await speaker.send(subscription=wish)


async def publish_and_unpublish(speaker: Speaker, step: int) -> None:
    if step % 2:
        await speaker.publish()
    else:
        await speaker.unpublish()


async def change_track(speaker: Speaker, step: int) -> None:
    sid = speaker.latest["track_published"].track.sid
    features = [models.TF_STEREO] if step % 2 else []
    request = rtc.UpdateLocalAudioTrack(track_sid=sid, features=features)
    await speaker.send(update_audio_track=request)


KINDS: tuple[Step, ...] = (
    forbid_and_allow,
    take_turns,
    mute_and_unmute,
    change_metadata,
    change_attributes,
    change_name,
    subscribe_and_unsubscribe,
    publish_and_unpublish,
    change_track,
)


async def settled(listeners: list[Guest]) -> None:
    """Everybody has been offered the speaker's track, and nothing more comes of the joins."""
    await until(lambda: all("m=audio" in guest.offer for guest in listeners), 30)

    async def quiet() -> None:
        before = -1
        while (now := sum(guest.sent_bytes for guest in listeners)) != before:
            before = now
            await asyncio.sleep(1)

    await asyncio.wait_for(quiet(), 30)


async def keep_on(speaker: Speaker, step: Step, seconds: float, per_second: float) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in itertools.count():
        if (late := loop.time() - start) > seconds:
            return
        await asyncio.sleep(max(number / per_second - late, 0))
        await step(speaker, number)


async def cost_of(
    server: Server, step: Step, seconds: float, per_second: float = PER_SECOND
) -> float:
    """Runs the attack; returns what the worst-off listener was sent, in bytes."""
    async with hall(server, LISTENERS) as (speaker, listeners):
        await settled(listeners)
        before = [guest.sent_bytes for guest in listeners]
        server.metrics()  # stalls are counted from one scrape to the next
        await keep_on(speaker, step, seconds, per_second)
        stall_s = server.metrics()[STALL]
        spent = [guest.sent_bytes - count for guest, count in zip(listeners, before, strict=True)]
        assert [guest.closed for guest in listeners] == [None] * LISTENERS
        assert all(guest.cases["leave"] == 0 for guest in listeners)
        assert stall_s <= STALL_S
        for guest in listeners[:3]:
            await guest.send(ping_req=rtc.Ping(timestamp=1))
        await until(lambda: all(guest.cases["pong_resp"] for guest in listeners[:3]), 2)
        assert speaker.closed is None, "it was told late, and not ended"
        return max(spent)


@pytest.mark.parametrize("step", KINDS)
@pytest.mark.timeout(120)
async def test_one_speaker_costs_each_listener_little(server: Server, step: Step) -> None:
    large = step in {change_metadata, subscribe_and_unsubscribe}
    spent = await cost_of(server, step, SECONDS, LARGE_PER_SECOND if large else PER_SECOND)
    burst = PACE_BURST_BYTES + (METADATA_BYTES_MAX if step is change_metadata else 0)
    assert spent <= burst + LIMIT_BPS / 8 * SECONDS


@pytest.mark.timeout(180)
async def test_all_of_it_together_stays_below_the_rate(server: Server) -> None:
    """Half a minute, the burst included."""

    async def everything(speaker: Speaker, step: int) -> None:
        kinds = [kind for kind in KINDS if kind is not publish_and_unpublish]
        await kinds[step % len(kinds)](speaker, step // len(kinds))

    seconds, per_second = 30.0, 60.0  # metadata costs the speaker more than one token
    spent = await cost_of(server, everything, seconds, per_second)
    assert spent * 8 / seconds <= LIMIT_BPS


@pytest.mark.timeout(120)
async def test_a_thousand_requests_in_one_segment_hold_nobody_up(server: Server) -> None:
    """What has been read already is not worked through in one go."""
    async with hall(server, LISTENERS) as (speaker, listeners):
        await settled(listeners)
        server.metrics()
        sid = speaker.latest["track_published"].track.sid
        for step in range(990):
            await speaker.send(mute=rtc.MuteTrackRequest(sid=sid, muted=step % 2 == 0))
        await speaker.send(ping_req=rtc.Ping(timestamp=1))
        await until(lambda: speaker.cases["pong_resp"] > 0, 10)
        assert server.metrics()[STALL] <= STALL_S
        assert [guest.closed for guest in listeners] == [None] * LISTENERS
        assert speaker.closed is None
