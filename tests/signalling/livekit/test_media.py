"""An aiortc peer publishes and receives through the real engine."""

import pytest
from livekit.protocol import models, rtc

from sfu import node
from signalling.livekit.data_saver import ATTRIBUTE
from tests.signalling.livekit.conftest import Edge
from tests.support.livekit_client import MediaClient, Picture, Tone, until


async def test_audio_and_video_reach_the_others(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        tone = await ada.publish(Tone(), models.MICROPHONE)
        picture = await ada.publish(Picture(), models.CAMERA, width=320, height=180)
        await bo.received(tone.sid, frames=50)
        await bo.received(picture.sid, frames=15)
        assert bo.tracks[picture.sid].size == (320, 180)
        assert 5_000 < bo.tracks[tone.sid].peak < 20_000
        await ada.signal.expect_participant(
            "ada", lambda p: {t.mime_type for t in p.tracks} == {"audio/opus", "video/VP8"}
        )


async def test_a_late_joiner_sees_a_picture_soon(edge: Edge) -> None:
    async with MediaClient.connect(edge.url, edge.token("ada")) as ada:
        picture = await ada.publish(Picture(), models.CAMERA)
        async with MediaClient.connect(edge.url, edge.token("bo")) as bo:
            await bo.received(picture.sid, frames=5)
            async with MediaClient.connect(edge.url, edge.token("cy")) as cy:
                await cy.connected()
                await cy.received(picture.sid, frames=1, timeout_s=3)


async def test_a_disabled_track_is_not_sent(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        tone = await ada.publish(Tone(), models.MICROPHONE)
        await bo.received(tone.sid, frames=10)
        for disabled in (True, False):
            setting = rtc.UpdateTrackSettings(track_sids=[tone.sid], disabled=disabled)
            await bo.signal.send(
                track_setting=setting,
            )
            await bo.signal.send(ping_req=rtc.Ping(timestamp=1))
            if disabled:
                await _settled(bo, tone.sid)
        before = bo.tracks[tone.sid].frames
        await bo.received(tone.sid, frames=before + 10)


async def test_a_track_that_does_not_fit_is_paused_and_the_client_told(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        picture = await ada.publish(Picture(), models.CAMERA)
        await bo.received(picture.sid, frames=5)
        core = edge.node.engine.core
        for limit_bps, state in ((1_000, rtc.PAUSED), (None, rtc.ACTIVE)):
            for transport in core.stats().transports:
                core.limit_bitrate(transport.transport_id, limit_bps)
            wanted = [(ada.sid, picture.sid, state)]
            await bo.signal.expect(
                "stream_state_update",
                lambda told, wanted=wanted: (
                    [(s.participant_sid, s.track_sid, s.state) for s in told.stream_states]
                    == wanted
                ),
            )
        before = bo.tracks[picture.sid].frames
        await bo.received(picture.sid, frames=before + 5)


async def test_a_participant_bounds_what_it_is_sent(edge: Edge) -> None:
    thrifty = edge.token("bo", canUpdateOwnMetadata=True)
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, thrifty) as bo,
    ):
        picture = await ada.publish(Picture(), models.CAMERA)
        await bo.received(picture.sid, frames=5)
        for limit_kbps, state in (("1", rtc.PAUSED), ("", rtc.ACTIVE)):
            wish = rtc.UpdateParticipantMetadata(attributes={ATTRIBUTE: limit_kbps})
            await bo.signal.send(update_metadata=wish)
            await bo.signal.expect(
                "stream_state_update",
                lambda told, state=state: [s.state for s in told.stream_states] == [state],
            )
        before = bo.tracks[picture.sid].frames
        await bo.received(picture.sid, frames=before + 5)


async def test_speakers_are_told(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        tone = Tone()
        await ada.publish(tone, models.MICROPHONE)
        spoken = await bo.signal.expect("speakers_changed")
        assert [(s.sid, s.active) for s in spoken.speakers] == [(ada.sid, True)]
        assert 0 < spoken.speakers[0].level <= 1
        await ada.unpublish(tone)


async def test_quality_is_told(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "QUALITY_EVERY_S", 0.3)
    edge.node.measure()
    async with MediaClient.connect(edge.url, edge.token("ada")) as ada:
        await ada.publish(Tone(), models.MICROPHONE)
        told = await ada.signal.expect("connection_quality")
        assert [update.participant_sid for update in told.updates] == [ada.sid]
        assert told.updates[0].quality == models.EXCELLENT


async def _settled(client: MediaClient, sid: str) -> None:
    """Waits until no frame of a track has come for a while."""
    seen = -1
    count = 0

    def quiet() -> bool:
        nonlocal seen, count
        frames = client.tracks[sid].frames
        count = count + 1 if frames == seen else 0
        seen = frames
        return count > 20

    await until(quiet)
