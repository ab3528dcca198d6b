"""Rights over the wire: what a token or the server API grants, when it counts, and who is told."""

import time
from typing import Any

import aiohttp
import jwt
import pytest
from livekit import api
from livekit.protocol import models, rtc

from sfu import limits
from tests.signalling.livekit.conftest import API_KEY, API_SECRET, Edge
from tests.signalling.livekit.test_room_service import service
from tests.support.livekit_client import SignalClient, until

REASONS = rtc.RequestResponse
FINGERPRINT = ":".join(["AB"] * 32)


def announced(cid: str, kind: int, source: int) -> rtc.AddTrackRequest:
    return rtc.AddTrackRequest(cid=cid, type=kind, source=source)


def offer(*cids: str) -> rtc.SessionDescription:
    """An offer of microphones, as a client makes it."""
    lines = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    lines.append("a=group:BUNDLE " + " ".join(str(mid) for mid in range(len(cids))))
    for mid, cid in enumerate(cids):
        lines += [
            "m=audio 9 UDP/TLS/RTP/SAVPF 111",
            "c=IN IP4 0.0.0.0",
            "a=rtpmap:111 opus/48000/2",
            "a=ice-ufrag:abcd",
            f"a=ice-pwd:{'p' * 24}",
            f"a=fingerprint:sha-256 {FINGERPRINT}",
            "a=setup:actpass",
            f"a=mid:{mid}",
            "a=sendonly",
            f"a=msid:- {cid}",
            "a=rtcp-mux",
            f"a=ssrc:{1000 + mid} cname:x",
        ]
    return rtc.SessionDescription(type="offer", sdp="\r\n".join(lines) + "\r\n", id=1)


def published(edge: Edge, identity: str) -> list[str]:
    room = edge.node.find_room("hall")
    assert room is not None
    return [
        track.sid
        for participant in room.list_participants()
        if participant.identity == identity
        for track in participant.tracks
    ]


@pytest.mark.parametrize(
    ("sources", "kind", "source"),
    [
        (["future_source"], models.VIDEO, models.UNKNOWN),
        (["unknown"], models.VIDEO, models.UNKNOWN),
        (["microphone"], models.VIDEO, models.MICROPHONE),
        (["microphone", "future_source"], models.AUDIO, models.UNKNOWN),
        (["screen_share"], models.AUDIO, models.SCREEN_SHARE),
    ],
)
async def test_a_list_of_sources_grants_those_and_nothing_else(
    edge: Edge, sources: list[str], kind: int, source: int
) -> None:
    token = edge.token("ada", canPublishSources=sources)
    async with SignalClient.connect(edge.url, token) as ada:
        await ada.send(add_track=announced("x", kind, source))
        response = await ada.expect("request_response")
        assert response.reason == REASONS.NOT_ALLOWED
        assert response.add_track.cid == "x"


async def test_a_source_that_the_server_api_does_not_know_grants_nothing(edge: Edge) -> None:
    async with service(edge) as rooms, SignalClient.connect(edge.url, edge.token("ada")) as ada:
        await ada.expect("join")
        changed = await rooms.update_participant(
            api.UpdateParticipantRequest(
                room="hall",
                identity="ada",
                permission=api.ParticipantPermission(
                    can_subscribe=True,
                    can_publish=True,
                    can_publish_sources=[9],  # type: ignore[list-item]
                ),
            )
        )
        assert not changed.permission.can_publish
        await ada.send(add_track=announced("x", models.AUDIO, models.MICROPHONE))
        assert (await ada.expect("request_response")).reason == REASONS.NOT_ALLOWED


async def test_a_track_announced_before_the_right_was_lost_is_not_published(edge: Edge) -> None:
    async with (
        service(edge) as rooms,
        SignalClient.connect(edge.url, edge.token("ada")) as ada,
        SignalClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        await ada.send(add_track=announced("mic", models.AUDIO, models.MICROPHONE))
        promised = (await ada.expect("track_published")).track
        await rooms.update_participant(
            api.UpdateParticipantRequest(
                room="hall",
                identity="ada",
                permission=api.ParticipantPermission(can_subscribe=True),
            )
        )
        await ada.send(offer=offer("mic"))
        await ada.expect("answer")
        assert (await ada.expect("track_unpublished")).track_sid == promised.sid
        assert (await ada.expect("request_response")).reason == REASONS.NOT_ALLOWED
        assert published(edge, "ada") == []
        assert all(not one.tracks for it in bo.all("update") for one in it.participants)


async def test_tracks_beyond_the_limit_are_refused_when_announced_and_when_offered(
    edge: Edge,
) -> None:
    most = limits.TRACKS_PER_SOURCE_MAX
    cids = [f"mic-{number}" for number in range(most + 1)]
    async with SignalClient.connect(edge.url, edge.token("ada")) as ada:
        for cid in cids:
            await ada.send(add_track=announced(cid, models.AUDIO, models.MICROPHONE))
        await ada.expect("track_published", lambda told: told.cid == cids[-1])
        await ada.send(offer=offer(*cids))
        refused = await ada.expect("request_response")
        assert refused.reason == REASONS.LIMIT_EXCEEDED
        await until(lambda: len(published(edge, "ada")) == most)
        ended = await ada.expect("track_unpublished")
        assert ended.track_sid not in published(edge, "ada")
        await ada.send(add_track=announced("more", models.AUDIO, models.MICROPHONE))
        refused = await ada.expect("request_response", lambda told: told.add_track.cid == "more")
        assert refused.reason == REASONS.LIMIT_EXCEEDED


async def test_who_may_receive_is_cut_to_what_is_kept_and_the_publisher_told(edge: Edge) -> None:
    names = [f"p{number}" for number in range(limits.PERMISSION_ENTRIES_MAX + 1)]
    entries = [rtc.TrackPermission(participant_identity=it, all_tracks=True) for it in names]
    async with SignalClient.connect(edge.url, edge.token("ada")) as ada:
        await ada.send(
            subscription_permission=rtc.SubscriptionPermission(track_permissions=entries)
        )
        assert (await ada.expect("request_response")).reason == REASONS.LIMIT_EXCEEDED
        room = edge.node.find_room("hall")
        assert room is not None
        rules = room.member("ada").subscription_permission  # type: ignore[union-attr]
        assert rules.allows("TR_1", sid="", identity=names[0])
        assert not rules.allows("TR_1", sid="", identity=names[-1])


# --- removals ---------------------------------------------------------------------------------


def token(identity: str, **times: int) -> str:
    claims: dict[str, Any] = {
        "iss": API_KEY,
        "sub": identity,
        "exp": int(time.time()) + 600,
        "video": {"roomJoin": True, "room": "hall"},
        **times,
    }
    return jwt.encode(claims, API_SECRET, algorithm="HS256")


async def validated(edge: Edge, access_token: str) -> int:
    url = f"{edge.url.replace('ws', 'http')}/rtc/validate"
    headers = {"Authorization": f"Bearer {access_token}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(url) as response:
        return response.status


async def test_who_was_put_out_does_not_come_straight_back(edge: Edge) -> None:
    now = int(time.time())
    async with service(edge) as rooms, SignalClient.connect(edge.url, token("bo")):
        async with SignalClient.connect(edge.url, token("ada", nbf=now)) as ada:
            refreshed = await ada.expect("refresh_token")
            await rooms.remove_participant(api.RoomParticipantIdentity(room="hall", identity="ada"))
            leave = await ada.expect("leave")
            assert (leave.reason, leave.action) == (
                models.PARTICIPANT_REMOVED,
                rtc.LeaveRequest.DISCONNECT,
            )
        for again in (token("ada", nbf=now), token("ada", iat=now), token("ada"), refreshed):
            assert await validated(edge, again) == 401
            with pytest.raises(aiohttp.WSServerHandshakeError):
                async with SignalClient.connect(edge.url, again):
                    pass
        assert await validated(edge, token("bo")) == 200
        # A token whose time has come is a new invitation; here the removal is set back instead.
        await rooms.remove_participant(
            api.RoomParticipantIdentity(room="hall", identity="ada", revoke_token_ts=now - 10)
        )
        assert await validated(edge, token("ada", nbf=now)) == 200
        assert await validated(edge, token("ada", nbf=now - 11)) == 401


async def test_somebody_who_has_just_left_is_put_out_all_the_same(edge: Edge) -> None:
    async with service(edge) as rooms, SignalClient.connect(edge.url, token("bo")) as bo:
        await bo.expect("join")
        who = api.RoomParticipantIdentity(room="hall", identity="ada")
        with pytest.raises(api.TwirpError) as error:
            await rooms.remove_participant(who)
        assert error.value.code == "not_found"
        assert await validated(edge, token("ada", nbf=int(time.time()))) == 401
