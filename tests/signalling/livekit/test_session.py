"""A session's life: bad input, floods, slow clients, lost links, timers."""

import asyncio

import aiohttp
import jwt
import pytest
from livekit.protocol import models, rtc

from sfu import limits
from sfu.values import Permissions
from signalling.livekit import link, session
from tests.signalling.livekit.conftest import API_SECRET, Edge
from tests.signalling.sdp.peer import answer_as_browser, samples
from tests.support.livekit_client import MediaClient, Picture, SignalClient, Tone, until


@pytest.mark.parametrize("garbage", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05abc"])
async def test_a_malformed_message_closes_the_socket_with_a_reason(
    edge: Edge, garbage: bytes
) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        await client.expect("join")
        await client.socket.send_bytes(garbage)
        assert await client.closed() == link.INVALID_PAYLOAD


@pytest.mark.parametrize("data", [b"", b"\x9a\x3e\x00"])
async def test_an_empty_or_unknown_request_is_ignored(edge: Edge, data: bytes) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        await client.socket.send_bytes(data)
        await client.send(ping_req=rtc.Ping(timestamp=1))
        await client.expect("pong_resp")


@pytest.mark.parametrize("sdp", ["", "v=1\r\n", "\0" * 100])
async def test_an_unusable_offer_ends_the_session_clearly(edge: Edge, sdp: str) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        await client.expect("join")
        await client.send(offer=rtc.SessionDescription(type="offer", sdp=sdp))
        leave = await client.expect("leave")
        assert leave.action == rtc.LeaveRequest.DISCONNECT, "a new connection would bring the same"
        assert leave.reason == models.MEDIA_FAILURE
        told = await client.expect("request_response")
        assert told.reason == rtc.RequestResponse.INVALID_REQUEST
        assert "expected" in told.message


async def test_an_answer_to_something_else_asks_for_a_new_connection(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        offer = (await client.expect("offer")).sdp
        another = answer_as_browser(offer).replace("a=mid:0", "a=mid:9")
        await client.send(answer=rtc.SessionDescription(type="answer", sdp=another))
        leave = await client.expect("leave")
        assert (leave.action, leave.reason) == (rtc.LeaveRequest.RECONNECT, models.STATE_MISMATCH)


async def test_hundreds_of_candidates_are_no_reason_to_refuse(edge: Edge) -> None:
    """A machine with many bridges; this server is ICE-lite and looks at none of them."""
    candidates = "".join(
        f"a=candidate:{n} 1 udp 2122260223 172.17.{n % 256}.1 {50_000 + n} typ host\r\n"
        for n in range(500)
    )
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        offer = samples()["chromium_data_only"].replace("a=mid:0\r\n", f"a=mid:0\r\n{candidates}")
        assert offer.count("a=candidate:") >= 500
        await client.send(offer=rtc.SessionDescription(type="offer", sdp=offer, id=1))
        assert (await client.expect("answer")).id == 1


async def test_a_flood_is_cut_off_and_hurts_nobody_else(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MESSAGES_BURST", 50.0)
    async with (
        SignalClient.connect(edge.url, edge.token("flooder")) as flooder,
        SignalClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        await flooder.expect("join")
        for _ in range(200):
            await flooder.send(ping=1)
        assert await flooder.closed() == link.POLICY_VIOLATION
        await bo.send(ping_req=rtc.Ping(timestamp=1))
        await bo.expect("pong_resp")


async def test_large_messages_cost_more_than_small_ones(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        await client.expect("join")
        padding = rtc.TrickleRequest(candidateInit="x" * 1_500_000)
        for _ in range(4):
            await client.send(trickle=padding)
        assert await client.closed() == link.POLICY_VIOLATION


@pytest.mark.parametrize("candidate", ["{", "[]", "[" * 4000, "x" * 5000])
async def test_a_malformed_candidate_is_answered(edge: Edge, candidate: str) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        await client.send(trickle=rtc.TrickleRequest(candidateInit=candidate))
        refusal = await client.expect("request_response")
        assert refusal.reason == rtc.RequestResponse.INVALID_REQUEST


async def test_more_than_twenty_announced_tracks_are_refused(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        for number in range(21):
            await client.send(add_track=rtc.AddTrackRequest(cid=f"c{number}", type=models.AUDIO))
        refusal = await client.expect("request_response")
        assert refusal.reason == rtc.RequestResponse.LIMIT_EXCEEDED
        assert refusal.add_track.cid == "c20"
        assert len(client.all("track_published")) == 20


async def test_a_track_that_the_token_does_not_allow_is_refused(edge: Edge) -> None:
    token = edge.token("ada", canPublishSources=["microphone"])
    async with SignalClient.connect(edge.url, token) as client:
        await client.send(
            add_track=rtc.AddTrackRequest(cid="c", type=models.VIDEO, source=models.CAMERA)
        )
        refusal = await client.expect("request_response")
        assert refusal.reason == rtc.RequestResponse.NOT_ALLOWED


async def test_a_cid_in_use_waits_for_its_turn(edge: Edge) -> None:
    async with MediaClient.connect(edge.url, edge.token("ada")) as client:
        tone = Tone()
        first = await client.publish(tone, models.MICROPHONE)
        again = rtc.AddTrackRequest(cid=tone.id, type=models.AUDIO, source=models.MICROPHONE)
        await client.signal.send(add_track=again)
        refusal = await client.signal.expect("request_response")
        assert refusal.reason == rtc.RequestResponse.QUEUED
        await client.unpublish(tone)
        second = await client.signal.expect("track_published", lambda r: r.track.sid != first.sid)
        assert second.cid == tone.id


async def test_muting_an_unknown_track_is_answered(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        await client.send(mute=rtc.MuteTrackRequest(sid="TR_none", muted=True))
        refusal = await client.expect("request_response")
        assert refusal.reason == rtc.RequestResponse.NOT_FOUND


async def test_a_track_muted_before_its_media_is_published_muted(edge: Edge) -> None:
    async with MediaClient.connect(edge.url, edge.token("ada")) as client:
        track = Tone()
        await client.signal.send(add_track=rtc.AddTrackRequest(cid=track.id, type=models.AUDIO))
        sid = (await client.signal.expect("track_published")).track.sid
        await client.signal.send(mute=rtc.MuteTrackRequest(sid=sid, muted=True))
        client.publisher.addTrack(track)
        await client.negotiate()
        ada = await client.signal.expect_participant("ada", lambda p: len(p.tracks) == 1)
        assert ada.tracks[0].muted


async def test_unpublishing_is_told_to_both_sides(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        picture = Picture()
        track = await ada.publish(picture, models.CAMERA)
        await bo.signal.expect("offer", lambda o: track.sid in o.sdp)
        await ada.unpublish(picture)
        assert (await ada.signal.expect("track_unpublished")).track_sid == track.sid
        await bo.signal.expect_participant("ada", lambda p: p.version > 2 and not p.tracks)
        last = await bo.signal.expect(
            "offer", lambda o: "m=video" in o.sdp and track.sid not in o.sdp
        )
        assert "a=inactive" in last.sdp


async def test_a_publisher_only_token_makes_the_publisher_primary(edge: Edge) -> None:
    token = edge.token("camera", canSubscribe=False)
    async with (
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
        MediaClient.connect(edge.url, token) as camera,
    ):
        join = await camera.signal.expect("join")
        assert not join.subscriber_primary
        await camera.publish(Tone(), models.MICROPHONE)
        await bo.signal.expect_participant("camera", lambda p: p.state == p.ACTIVE)
        assert camera.signal.all("offer") == []


async def test_a_publisher_may_be_allowed_to_subscribe_later(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("camera", canSubscribe=False)) as camera,
    ):
        track = await ada.publish(Tone(), models.MICROPHONE)
        await camera.publish(Tone(), models.MICROPHONE)
        await camera.signal.expect_participant("camera", lambda p: p.state == p.ACTIVE)
        room = edge.node.find_room("hall")
        room.set_permissions(room.member("camera"), Permissions())
        await camera.received(track.sid, frames=5)
        assert camera.signal.all("leave") == []


async def test_a_hidden_participant_is_seen_by_nobody_else(edge: Edge) -> None:
    async with (
        SignalClient.connect(edge.url, edge.token("bo")) as bo,
        MediaClient.connect(edge.url, edge.token("spy", hidden=True)) as spy,
    ):
        await spy.connected()
        await spy.signal.expect_participant("spy", lambda p: p.state == p.ACTIVE)
        async with SignalClient.connect(edge.url, edge.token("cy")) as cy:
            join = await cy.expect("join")
            assert [p.identity for p in join.other_participants] in ([], ["bo"])
            assert join.room.num_participants == 2
        assert all(p.identity != "spy" for p in bo.participants.values())


async def test_leaving_is_told_to_the_others(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
    ):
        await ada.connected()
        await bo.signal.expect_participant("ada", lambda p: p.state == p.ACTIVE)
        await ada.signal.leave()
        gone = await bo.signal.expect_participant("ada", lambda p: p.state == p.DISCONNECTED)
        assert gone.disconnect_reason == models.CLIENT_INITIATED
        assert await ada.signal.closed() == 1000


async def test_a_client_without_media_is_removed(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CONNECT_TIMEOUT_S", 0.2)
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        leave = await client.expect("leave")
        assert leave.reason == models.CONNECTION_TIMEOUT
    assert edge.node.find_room("hall").size == 0


async def test_a_socket_lost_before_media_ends_the_session(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        await client.expect("join")
    await until(lambda: edge.node.find_room("hall").size == 0)


async def test_a_lost_link_is_waited_for_then_given_up(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "DETACHED_TIMEOUT_S", 0.5)
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        await ada.connected()
        await bo.signal.expect_participant("ada", lambda p: p.state == p.ACTIVE)
        await ada.signal.socket.close()
        await asyncio.sleep(0.2)
        assert edge.node.find_room("hall").member("ada")
        gone = await bo.signal.expect_participant("ada", lambda p: p.state == p.DISCONNECTED)
        assert gone.disconnect_reason == models.SIGNAL_CLOSE


async def test_a_client_resumes_on_another_socket(edge: Edge) -> None:
    token = edge.token("ada")
    async with (
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
        MediaClient.connect(edge.url, token) as ada,
    ):
        await ada.connected()
        track = await ada.publish(Tone(), models.MICROPHONE)
        await bo.signal.expect_participant("ada", lambda p: len(p.tracks) == 1)
        await ada.signal.socket.close()
        async with SignalClient.connect(edge.url, token, reconnect=1, sid=ada.sid) as again:
            await again.expect("room_update")
            await again.expect_participant("bo")
            own = await again.expect_participant("ada", lambda p: len(p.tracks) == 1)
            assert again.received[0].WhichOneof("message") == "reconnect"
            assert own.sid == ada.sid
            offer = await again.expect("offer")
            before = ada.signal.all("offer")[-1]
            assert _ufrag(offer.sdp) != _ufrag(before.sdp), "ICE has to be restarted"
            published = rtc.TrackPublishedResponse(cid="c", track=models.TrackInfo(sid=track.sid))
            await again.send(sync_state=rtc.SyncState(publish_tracks=[published]))
            await again.send(ping_req=rtc.Ping(timestamp=1))
            await again.expect("pong_resp")
            assert again.all("leave") == []
            unknown = rtc.TrackPublishedResponse(cid="c", track=models.TrackInfo(sid="TR_none"))
            await again.send(sync_state=rtc.SyncState(publish_tracks=[unknown]))
            leave = await again.expect("leave")
            assert leave.action == rtc.LeaveRequest.RECONNECT


async def test_a_client_that_was_away_is_told_who_left_meanwhile(edge: Edge) -> None:
    token = edge.token("ada")
    async with MediaClient.connect(edge.url, token) as ada:
        await ada.connected()
        async with MediaClient.connect(edge.url, edge.token("bo")) as bo:
            await bo.connected()
            seen = await ada.signal.expect_participant("bo")
            await ada.signal.socket.close()
            await bo.signal.leave()
            await until(lambda: edge.node.find_room("hall").member("bo") is None)
        async with SignalClient.connect(edge.url, token, reconnect=1, sid=ada.sid) as again:
            gone = await again.expect_participant("bo", lambda p: p.state == p.DISCONNECTED)
            assert gone.sid == seen.sid


async def test_a_client_comes_back_with_no_more_than_its_token_says(edge: Edge) -> None:
    wide = edge.token("ada", roomAdmin=True, canUpdateOwnMetadata=True)
    narrow = edge.token("ada", canPublish=False, canPublishData=True)
    async with MediaClient.connect(edge.url, wide) as ada:
        await ada.connected()
        await ada.publish(Tone(), models.MICROPHONE)
        await ada.signal.socket.close()
        async with SignalClient.connect(edge.url, narrow, reconnect=1, sid=ada.sid) as again:
            own = await again.expect_participant("ada", lambda p: not p.tracks)
            assert not own.permission.can_publish
            assert not own.permission.can_update_metadata
            assert (own.permission.can_publish_data, own.permission.can_subscribe) == (True, True)
            fresh = jwt.decode(await again.expect("refresh_token"), API_SECRET, ["HS256"])
            assert fresh["video"]["canPublish"] is False
            assert "roomAdmin" not in fresh["video"]
            await again.send(add_track=rtc.AddTrackRequest(cid="c", type=models.AUDIO))
            refusal = await again.expect("request_response")
            assert refusal.reason == rtc.RequestResponse.NOT_ALLOWED


async def test_a_right_given_while_a_client_was_away_is_there_when_it_is_back(edge: Edge) -> None:
    """It comes with the token it has; the one with the new right could not reach it."""
    token = edge.token("ada", canPublish=False)
    async with MediaClient.connect(edge.url, token) as ada:
        await ada.connected()
        await ada.signal.socket.close()
        room = edge.node.find_room("hall")
        assert room is not None
        member = room.member("ada")
        assert member is not None
        room.set_permissions(member, Permissions(can_subscribe=True, can_publish=True))
        async with SignalClient.connect(edge.url, token, reconnect=1, sid=ada.sid) as again:
            await again.expect_participant("ada", lambda p: p.permission.can_publish)
            fresh = jwt.decode(await again.expect("refresh_token"), API_SECRET, ["HS256"])
            assert fresh["video"]["canPublish"] is True


async def test_a_right_taken_while_a_client_was_away_does_not_come_back(edge: Edge) -> None:
    token = edge.token("ada")
    async with MediaClient.connect(edge.url, token) as ada:
        await ada.connected()
        await ada.signal.socket.close()
        room = edge.node.find_room("hall")
        assert room is not None
        member = room.member("ada")
        assert member is not None
        room.set_permissions(member, Permissions(can_publish=False))
        async with SignalClient.connect(edge.url, token, reconnect=1, sid=ada.sid) as again:
            fresh = jwt.decode(await again.expect("refresh_token"), API_SECRET, ["HS256"])
            assert fresh["video"]["canPublish"] is False


async def test_a_publisher_that_was_away_is_told_what_is_wanted(edge: Edge) -> None:
    token = edge.token("ada")
    async with MediaClient.connect(edge.url, token) as ada:
        await ada.connected()
        track = await ada.publish(Picture(), models.CAMERA)
        await ada.signal.socket.close()
        async with (
            MediaClient.connect(edge.url, edge.token("bo")) as bo,
            SignalClient.connect(edge.url, token, reconnect=1, sid=ada.sid) as again,
        ):
            await bo.received(track.sid)
            told = await again.expect("subscribed_quality_update")
            assert told.track_sid == track.sid
            assert [step.enabled for step in told.subscribed_qualities] == [True] * 3


async def test_resuming_what_is_gone_asks_for_a_new_connection(edge: Edge) -> None:
    async with SignalClient.connect(
        edge.url, edge.token("ada"), reconnect=1, sid="PA_gone"
    ) as client:
        leave = await client.expect("leave")
        assert client.received[0].WhichOneof("message") == "leave"
        assert leave.reason == models.STATE_MISMATCH
        assert leave.action == rtc.LeaveRequest.RECONNECT
        assert await client.closed() == 1000


async def test_a_client_that_does_not_keep_up_is_ended_from_the_loop(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not inside whoever tells it: that may be telling a thousand others."""
    async with SignalClient.connect(edge.url, edge.token("ada")) as ada:
        await ada.expect("offer")
        monkeypatch.setattr(limits, "OUTBOX_BYTES_MAX", 4_000)
        async with SignalClient.connect(edge.url, edge.token("slow")) as slow:
            await slow.expect("offer")
            room = edge.node.find_room("hall")
            assert room is not None
            member = room.member("slow")
            assert member is not None
            for number in range(100):
                member.sink.own_track_muted(f"TR_{number}", muted=True)
            assert room.member("slow") is member
            leave = await slow.expect("leave")
            assert leave.action == rtc.LeaveRequest.RECONNECT
            assert slow.received[-1].WhichOneof("message") == "leave"
            assert room.member("slow") is None
            assert slow.all("mute") == []
        await ada.send(ping_req=rtc.Ping(timestamp=1))
        await ada.expect("pong_resp")


async def test_subscription_settings_and_failures_reach_the_client(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo"), auto_subscribe=0) as bo,
    ):
        track = await ada.publish(Tone(), models.MICROPHONE)
        await bo.signal.expect_participant("ada", lambda p: len(p.tracks) == 1)
        await asyncio.sleep(0.4)
        assert not any(track.sid in offer.sdp for offer in bo.signal.all("offer"))
        group = models.ParticipantTracks(participant_sid=ada.sid, track_sids=[track.sid])
        await bo.signal.send(
            subscription=rtc.UpdateSubscription(subscribe=True, participant_tracks=[group])
        )
        await bo.signal.expect("offer", lambda o: track.sid in o.sdp)
        assert (await ada.signal.expect("track_subscribed")).track_sid == track.sid
        await ada.signal.send(
            subscription_permission=rtc.SubscriptionPermission(all_participants=False)
        )
        told = await bo.signal.expect("subscription_permission_update")
        assert (told.participant_sid, told.track_sid, told.allowed) == (ada.sid, track.sid, False)


async def test_a_room_takes_its_options_from_the_token_that_makes_it(edge: Edge) -> None:
    config = {"maxParticipants": 1, "emptyTimeout": 7, "departureTimeout": "9", "metadata": "m"}
    async with SignalClient.connect(edge.url, edge.token("ada", roomConfig=config)) as ada:
        room = (await ada.expect("join")).room
        assert (room.max_participants, room.empty_timeout, room.departure_timeout) == (1, 7, 9)
        assert room.metadata == "m"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            async with SignalClient.connect(edge.url, edge.token("bo")):
                pass
        assert refusal.value.status == 403


def _ufrag(sdp: str) -> str:
    return next(line for line in sdp.splitlines() if line.startswith("a=ice-ufrag:"))


async def test_more_tracks_than_one_message_may_name_are_refused(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRACKS_PER_REQUEST_MAX", 10)
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        sids = [f"TR_{number}" for number in range(9)]
        await client.send(track_setting=rtc.UpdateTrackSettings(track_sids=[*sids, *sids]))
        group = models.ParticipantTracks(participant_sid="PA_a", track_sids=["TR_x", "TR_y"])
        wish = rtc.UpdateSubscription(track_sids=sids, participant_tracks=[group])
        await client.send(subscription=wish)
        refusal = await client.expect("request_response")
        assert refusal.reason == rtc.RequestResponse.LIMIT_EXCEEDED
        assert len(client.all("request_response")) == 1


async def test_a_message_costs_its_sender_what_it_names(edge: Edge) -> None:
    """Ten messages of two thousand tracks are a flood, ten messages of one are none."""
    sids = [f"TR_{number}" for number in range(2_000)]
    async with (
        SignalClient.connect(edge.url, edge.token("ada")) as ada,
        SignalClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        for _ in range(30):
            await bo.send(track_setting=rtc.UpdateTrackSettings(track_sids=sids[:1]))
            await ada.send(track_setting=rtc.UpdateTrackSettings(track_sids=sids))
        assert await ada.closed() == link.POLICY_VIOLATION
        await bo.send(ping_req=rtc.Ping(timestamp=1))
        await bo.expect("pong_resp")
