"""The traps of the LiveKit protocol: each breaks some SDK, and each has a test.

Numbers are those of the list that the clients' sources gave; what a trap breaks stands beside it.
Traps 1, 2, 3, 28 and 31 are about HTTP and are tested with the application (`test_app`). Traps 23,
35 and 36 exist only with a single peer connection, which this server does not offer.
"""

import asyncio
import contextlib
import re
import time

import aiohttp
import jwt
import pytest
from aiortc import RTCSessionDescription
from livekit.protocol import models, rtc

from signalling.livekit import link, subscriber
from tests.signalling.livekit.conftest import API_SECRET, Edge
from tests.support.livekit_client import MediaClient, Picture, SignalClient, Tone, until

TRAPS = {
    4: "test_trap_4_an_offer_comes_even_without_tracks",
    5: "test_trap_5_join_is_the_first_message",
    6: "test_trap_6_ping_times_are_not_zero",
    7: "test_trap_7_the_participant_has_its_permission",
    8: "test_trap_8_the_version_is_semantic_and_recent",
    9: "test_trap_9_text_frames_are_neither_sent_nor_answered",
    10: "test_trap_10_candidates_travel_in_descriptions",
    11: "test_trap_11_sids_have_their_prefixes",
    12: "test_trap_12_a_track_is_announced_before_it_is_offered",
    13: "test_trap_13_versions_only_grow",
    14: "test_trap_14_track_published_comes_at_once_with_its_cid",
    15: "test_trap_15_old_track_fields_are_filled",
    17: "test_trap_17_reliable_sequence_numbers_are_kept",
    18: "test_trap_18_the_sender_is_named_by_the_server_and_hears_no_echo",
    19: "test_trap_19_a_change_of_metadata_is_confirmed",
    20: "test_trap_20_pongs_are_in_milliseconds",
    21: "test_trap_21_the_same_identity_replaces_the_old_session",
    22: "test_trap_22_the_answer_has_the_offers_id",
    24: "test_trap_24_a_publisher_without_media_gets_data_channels",
    25: "test_trap_25_video_codecs_come_first",
    26: "test_trap_26_a_fresh_token_comes_at_the_start",
    29: "test_trap_29_a_client_that_never_pings_stays",
    30: "test_trap_30_one_offer_at_a_time",
    32: "test_trap_32_stereo_and_dtx_are_in_the_answer",
    33: "test_trap_33_leave_says_what_to_do",
    34: "test_trap_34_times_are_filled",
}
LEFT_OUT = {
    16: "a muted track sends nothing: Go clients see the publication, and the track when unmuted",
    27: "feedback to publishers is the engine's, tested there",
}


def test_every_trap_of_signalling_has_its_test() -> None:
    elsewhere = {1, 2, 3, 23, 28, 31, 35, 36}
    assert set(TRAPS) | set(LEFT_OUT) | elsewhere == set(range(1, 37))
    assert [name for name in TRAPS.values() if name not in globals()] == []


async def test_trap_4_an_offer_comes_even_without_tracks(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        offer = await client.expect("offer", timeout_s=2)
        assert "m=application" in offer.sdp
        assert "a=sctp-port:5000" in offer.sdp


async def test_trap_5_join_is_the_first_message(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        await client.expect("offer", timeout_s=2)
        assert client.received[0].WhichOneof("message") == "join"


async def test_trap_6_ping_times_are_not_zero(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        join = await client.expect("join")
        assert 0 < join.ping_interval < join.ping_timeout


async def test_trap_7_the_participant_has_its_permission(edge: Edge) -> None:
    token = edge.token("ada", canPublishSources=["microphone"], canUpdateOwnMetadata=True)
    async with SignalClient.connect(edge.url, token) as client:
        join = await client.expect("join")
        permission = join.participant.permission
        assert join.participant.HasField("permission")
        assert (permission.can_publish, permission.can_subscribe) == (True, True)
        assert list(permission.can_publish_sources) == [models.MICROPHONE]
        assert permission.can_update_metadata


async def test_trap_8_the_version_is_semantic_and_recent(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        join = await client.expect("join")
        for version in (join.server_version, join.server_info.version):
            assert re.fullmatch(r"\d+\.\d+\.\d+", version)
            assert tuple(map(int, version.split("."))) >= (1, 8, 0)
        assert join.server_info.edition == models.ServerInfo.Standard


async def test_trap_9_text_frames_are_neither_sent_nor_answered(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        await client.socket.send_str('{"ping": 1}')
        await client.send(ping_req=rtc.Ping(timestamp=1))
        await client.expect("pong_resp")
        assert client.text_frames == 0
        assert client.all("pong") == []


async def test_trap_10_candidates_travel_in_descriptions(edge: Edge) -> None:
    async with MediaClient.connect(edge.url, edge.token("ada")) as client:
        offer = await client.signal.expect("offer")
        await client.publish(Tone(), models.MICROPHONE)
        answer = await client.signal.expect("answer")
        for description in (offer, answer):
            assert re.search(
                r"^a=candidate:\S+ 1 udp \d+ \S+ \d+ typ host", description.sdp, re.MULTILINE
            )
            assert "a=end-of-candidates" in description.sdp
        assert client.signal.all("trickle") == []


async def test_trap_11_sids_have_their_prefixes(edge: Edge) -> None:
    async with MediaClient.connect(edge.url, edge.token("ada")) as client:
        join = await client.signal.expect("join")
        camera = await client.publish(Picture(), models.CAMERA)
        screen = await client.publish(Picture(), models.SCREEN_SHARE)
        assert join.room.sid.startswith("RM_")
        assert join.participant.sid.startswith("PA_")
        assert re.fullmatch(r"TR_VC[2-9A-Za-z]{12}", camera.sid)
        assert re.fullmatch(r"TR_VS[2-9A-Za-z]{12}", screen.sid)


async def test_trap_12_a_track_is_announced_before_it_is_offered(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        track = await ada.publish(Tone(), models.MICROPHONE)
        offer = await bo.signal.expect("offer", lambda o: track.sid in o.sdp)
        assert f"a=msid:{ada.sid}|{track.sid} {track.sid}" in offer.sdp
        assert track.sid in dict(offer.mid_to_track_id).values()
        order = [
            response.WhichOneof("message")
            for response in bo.signal.received
            if track.sid in str(response)
        ]
        assert order[0] == "update"


async def test_trap_12_a_late_joiner_knows_a_track_from_join(edge: Edge) -> None:
    async with MediaClient.connect(edge.url, edge.token("ada")) as ada:
        track = await ada.publish(Tone(), models.MICROPHONE)
        await ada.signal.expect_participant("ada", lambda p: len(p.tracks) == 1)
        async with MediaClient.connect(edge.url, edge.token("bo")) as bo:
            join = await bo.signal.expect("join")
            assert [t.sid for p in join.other_participants for t in p.tracks] == [track.sid]
            # Fast start: what is there already comes with the first offer.
            assert track.sid in (await bo.signal.expect("offer")).sdp


async def test_trap_13_versions_only_grow(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        tone = Tone()
        track = await ada.publish(tone, models.MICROPHONE)
        await ada.signal.send(mute=rtc.MuteTrackRequest(sid=track.sid, muted=True))
        await bo.signal.expect_participant("ada", lambda p: p.tracks and p.tracks[0].muted)
        await ada.unpublish(tone)
        await bo.signal.expect_participant("ada", lambda p: p.version > 1 and not p.tracks)
        versions = [
            p.version for u in bo.signal.all("update") for p in u.participants if p.sid == ada.sid
        ]
        assert versions == sorted(versions)
        assert len(set(versions)) >= 3


async def test_trap_14_track_published_comes_at_once_with_its_cid(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        await client.send(
            add_track=rtc.AddTrackRequest(cid="mine", type=models.VIDEO, source=models.CAMERA)
        )
        published = await client.expect("track_published", timeout_s=2)
        assert published.cid == "mine"
        assert published.track.sid.startswith("TR_VC")


async def test_trap_15_old_track_fields_are_filled(edge: Edge) -> None:
    layers = [
        models.VideoLayer(quality=models.LOW, width=320, height=180, bitrate=120_000),
        models.VideoLayer(quality=models.HIGH, width=1280, height=720, bitrate=1_700_000),
    ]
    codec = rtc.SimulcastCodec(codec="vp8", cid="mine", layers=layers)
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        await client.send(
            add_track=rtc.AddTrackRequest(
                cid="mine",
                type=models.VIDEO,
                source=models.CAMERA,
                width=1280,
                height=720,
                simulcast_codecs=[codec],
            )
        )
        track = (await client.expect("track_published")).track
        assert (track.mime_type, track.width, track.height) == ("video/VP8", 1280, 720)
        assert track.simulcast
        assert [layer.bitrate for layer in track.layers] == [120_000, 1_700_000]
        assert [c.mime_type for c in track.codecs] == ["video/VP8"]
        assert list(track.codecs[0].layers) == list(track.layers)
        assert track.stream == "camera"


async def test_trap_17_reliable_sequence_numbers_are_kept(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        await bo.connected()
        await ada.open_channels()
        for sequence in (7, 8, 8, 9):
            ada.send_data(b"x", sequence=sequence)
        await until(lambda: len(bo.data) >= 3)
        await asyncio.sleep(0.2)
        assert [packet.sequence for _, packet in bo.data] == [7, 8, 9]


async def test_trap_18_the_sender_is_named_by_the_server_and_hears_no_echo(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        await ada.connected()
        await bo.connected()
        await ada.open_channels()
        ada.send_data(b"hi", participant_identity="somebody else", participant_sid="PA_fake")
        ada.send_data(b"hi", reliable=False)
        await until(lambda: len(bo.data) >= 2)
        assert {label for label, _ in bo.data} == {"_reliable", "_lossy"}
        for _, packet in bo.data:
            assert (packet.participant_identity, packet.participant_sid) == ("ada", ada.sid)
            assert packet.user.payload == b"hi"
        assert ada.data == []


async def test_trap_19_a_change_of_metadata_is_confirmed(edge: Edge) -> None:
    request = rtc.UpdateParticipantMetadata(
        name="Ada", metadata="m", attributes={"role": "host"}, request_id=3
    )
    async with SignalClient.connect(
        edge.url, edge.token("ada", canUpdateOwnMetadata=True)
    ) as client:
        await client.send(update_metadata=request)
        response = await client.expect("request_response", lambda r: r.request_id == 3)
        assert response.reason == rtc.RequestResponse.OK
        told = await client.expect_participant("ada", lambda p: p.name == "Ada")
        assert (told.metadata, dict(told.attributes)) == ("m", {"role": "host"})
    async with SignalClient.connect(edge.url, edge.token("bo")) as client:
        await client.send(update_metadata=request)
        response = await client.expect("request_response", lambda r: r.request_id == 3)
        assert response.reason == rtc.RequestResponse.NOT_ALLOWED


async def test_trap_20_pongs_are_in_milliseconds(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        now_ms = int(time.time() * 1000)
        await client.send(ping=now_ms)
        await client.send(ping_req=rtc.Ping(timestamp=now_ms, rtt=5))
        assert abs(await client.expect("pong") - now_ms) < 10_000
        pong = await client.expect("pong_resp")
        assert pong.last_ping_timestamp == now_ms
        assert abs(pong.timestamp - now_ms) < 10_000


async def test_trap_21_the_same_identity_replaces_the_old_session(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as old:
        first = await old.expect("join")
        async with SignalClient.connect(edge.url, edge.token("ada")) as new:
            second = await new.expect("join")
            assert second.participant.sid != first.participant.sid
            assert second.other_participants == []
            leave = await old.expect("leave")
            assert leave.reason == models.DUPLICATE_IDENTITY
            assert leave.action == rtc.LeaveRequest.DISCONNECT
            assert await old.closed() == 1000


async def test_trap_22_the_answer_has_the_offers_id(edge: Edge) -> None:
    async with MediaClient.connect(edge.url, edge.token("ada")) as client:
        await client.publish(Tone(), models.MICROPHONE)
        await client.publish(Picture(), models.CAMERA)
        assert [answer.id for answer in client.signal.all("answer")] == [1, 2]


async def test_trap_24_a_publisher_without_media_gets_data_channels(edge: Edge) -> None:
    async with MediaClient.connect(edge.url, edge.token("ada")) as client:
        await client.open_channels()
        answer = await client.signal.expect("answer")
        assert "m=application 9" in answer.sdp


async def test_trap_25_video_codecs_come_first(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        join = await client.expect("join")
        mimes = [codec.mime for codec in join.enabled_publish_codecs]
        kinds = [mime.partition("/")[0] for mime in mimes]
        assert kinds == sorted(kinds, reverse=True)
        assert {"video/VP8", "video/H264", "audio/opus"} <= set(mimes)
        assert not any("rtx" in mime for mime in mimes)


async def test_trap_26_a_fresh_token_comes_at_the_start(edge: Edge) -> None:
    token = edge.token("ada", name="Ada", canPublishSources=["camera"], attributes={"a": "b"})
    async with SignalClient.connect(edge.url, token) as client:
        fresh = jwt.decode(await client.expect("refresh_token"), API_SECRET, ["HS256"])
        assert fresh["sub"] == "ada"
        assert fresh["exp"] >= time.time() + 590
        assert fresh["video"]["room"] == "hall"
        assert fresh["video"]["canPublishSources"] == ["camera"]
        assert (fresh["name"], fresh["attributes"]) == ("Ada", {"a": "b"})


async def test_trap_29_a_client_that_never_pings_stays(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "PING_AFTER_S", 0.05)
    async with MediaClient.connect(edge.url, edge.token("ada")) as client:
        await client.connected()
        await asyncio.sleep(1)
        assert not client.signal.socket.closed


async def test_a_silent_link_gets_pings_and_a_busy_one_none(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "PING_AFTER_S", 0.6)
    address = f"{edge.url}/rtc?access_token={edge.token('ada')}"
    async with aiohttp.ClientSession() as http, http.ws_connect(address, autoping=False) as socket:

        async def pings(seconds: float) -> int:
            count, clock = 0, asyncio.get_running_loop()
            until_s = clock.time() + seconds
            while (left := until_s - clock.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    message = await socket.receive(left)
                    count += message.type is aiohttp.WSMsgType.PING
            return count

        await pings(0.5)  # what a join brings
        assert await pings(2.0) >= 2
        busy = 0
        for _ in range(10):
            await socket.send_bytes(rtc.SignalRequest(ping=1).SerializeToString())
            busy += await pings(0.1)
        assert busy == 0


async def test_trap_30_one_offer_at_a_time(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        SignalClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        first = await bo.expect("offer")
        track = await ada.publish(Tone(), models.MICROPHONE)
        await bo.expect_participant("ada", lambda p: len(p.tracks) == 1)
        await asyncio.sleep(0.4)
        assert len(bo.all("offer")) == 1
        connection = MediaClient(bo)
        await connection.subscriber.setRemoteDescription(RTCSessionDescription(first.sdp, "offer"))
        await connection.subscriber.setLocalDescription(await connection.subscriber.createAnswer())
        sdp = connection.subscriber.localDescription.sdp
        await bo.send(answer=rtc.SessionDescription(type="answer", sdp=sdp, id=first.id))
        second = await bo.expect("offer", lambda offer: offer.id == first.id + 1)
        assert track.sid in second.sdp
        await connection.subscriber.close()


async def test_an_offer_that_is_not_answered_ends_the_session(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "ANSWER_TIMEOUT_S", 0.2)
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        leave = await client.expect("leave")
        assert leave.action == rtc.LeaveRequest.RECONNECT


async def test_trap_32_stereo_and_dtx_are_in_the_answer(edge: Edge) -> None:
    async with MediaClient.connect(edge.url, edge.token("ada")) as client:
        await client.publish(Tone(), models.MICROPHONE)
        speech = (await client.signal.expect("answer")).sdp
        assert "usedtx=1" in speech
        assert "stereo=1" not in speech
        features = [models.TF_STEREO, models.TF_NO_DTX]
        await client.publish(Tone(), models.SCREEN_SHARE_AUDIO, audio_features=features)
        music = (await client.signal.expect("answer", lambda a: a.id == 2)).sdp
        second = music.split("m=audio")[2]
        assert "stereo=1;maxaveragebitrate=510000" in second
        assert "usedtx" not in second


async def test_trap_33_leave_says_what_to_do(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        await client.expect("join")
        edge.node.stop()
        leave = await client.expect("leave")
        assert leave.reason == models.SERVER_SHUTDOWN
        assert leave.action == rtc.LeaveRequest.RECONNECT
        assert leave.can_reconnect


async def test_trap_34_times_are_filled(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        join = await client.expect("join")
        now = time.time()
        assert abs(join.room.creation_time - now) < 10
        assert abs(join.room.creation_time_ms - now * 1000) < 10_000
        assert abs(join.participant.joined_at - now) < 10
        assert abs(join.participant.joined_at_ms - now * 1000) < 10_000
