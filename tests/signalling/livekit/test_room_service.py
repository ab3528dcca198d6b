"""RoomService, called by LiveKit's own server SDK."""

import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from livekit import api
from livekit.protocol import models, rtc

from tests.signalling.livekit.conftest import API_KEY, API_SECRET, Edge
from tests.support.livekit_client import MediaClient, SignalClient, Tone, until


@contextlib.asynccontextmanager
async def service(edge: Edge) -> AsyncIterator[api.room_service.RoomService]:
    async with api.LiveKitAPI(edge.url.replace("ws", "http"), API_KEY, API_SECRET) as client:
        yield client.room


async def test_rooms_are_made_listed_and_ended(edge: Edge) -> None:
    async with service(edge) as rooms:
        made = await rooms.create_room(
            api.CreateRoomRequest(name="hall", empty_timeout=60, max_participants=3, metadata="m")
        )
        again = await rooms.create_room(api.CreateRoomRequest(name="hall"))
        assert (made.empty_timeout, made.max_participants, made.metadata) == (60, 3, "m")
        assert again.sid == made.sid
        listed = await rooms.list_rooms(api.ListRoomsRequest(names=["hall", "other"]))
        assert [room.sid for room in listed.rooms] == [made.sid]
        async with SignalClient.connect(edge.url, edge.token("ada")) as ada:
            assert (await ada.expect("join")).room.sid == made.sid
            await rooms.delete_room(api.DeleteRoomRequest(room="hall"))
            leave = await ada.expect("leave")
            assert leave.reason == models.ROOM_DELETED
            assert leave.action == rtc.LeaveRequest.DISCONNECT
        with pytest.raises(api.TwirpError) as error:
            await rooms.delete_room(api.DeleteRoomRequest(room="hall"))
        assert error.value.code == "not_found"


async def test_participants_are_changed_and_put_out(edge: Edge) -> None:
    async with (
        service(edge) as rooms,
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        SignalClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        track = await ada.publish(Tone(), models.MICROPHONE)
        who = api.RoomParticipantIdentity(room="hall", identity="ada")
        await ada.signal.expect_participant("ada", lambda p: len(p.tracks) == 1)
        assert [t.sid for t in (await rooms.get_participant(who)).tracks] == [track.sid]
        muted = await rooms.mute_published_track(
            api.MuteRoomTrackRequest(room="hall", identity="ada", track_sid=track.sid, muted=True)
        )
        assert muted.track.muted
        assert (await ada.signal.expect("mute")).muted
        await bo.expect_participant("ada", lambda p: p.tracks and p.tracks[0].muted)
        with pytest.raises(api.TwirpError):
            await rooms.mute_published_track(
                api.MuteRoomTrackRequest(room="hall", identity="ada", track_sid=track.sid)
            )
        await rooms.update_participant(
            api.UpdateParticipantRequest(
                room="hall",
                identity="ada",
                name="Ada L.",
                attributes={"role": "listener"},
                permission=api.ParticipantPermission(can_subscribe=True, can_publish_data=True),
            )
        )
        listener = await bo.expect_participant("ada", lambda p: p.name == "Ada L.")
        assert not listener.permission.can_publish
        assert list(listener.tracks) == []
        assert (await ada.signal.expect("track_unpublished")).track_sid == track.sid
        assert len(ada.signal.all("refresh_token")) >= 2
        await rooms.remove_participant(who)
        assert (await ada.signal.expect("leave")).reason == models.PARTICIPANT_REMOVED
        left = await rooms.list_participants(api.ListParticipantsRequest(room="hall"))
        assert [one.identity for one in left.participants] == ["bo"]


async def test_data_comes_from_nobody_to_those_addressed(edge: Edge) -> None:
    async with (
        service(edge) as rooms,
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        await ada.connected()
        await bo.connected()
        for destinations, text in ((["bo"], b"one"), ([], b"all")):
            await rooms.send_data(
                api.SendDataRequest(
                    room="hall",
                    data=text,
                    kind=models.DataPacket.RELIABLE,
                    destination_identities=destinations,
                    topic="news",
                    nonce=bytes(16),
                )
            )
        await until(lambda: len(bo.data) == 2 and len(ada.data) == 1)
        assert [packet.user.payload for _, packet in bo.data] == [b"one", b"all"]
        assert bo.data[0][1].participant_identity == ""
        assert ada.data[0][1].user.topic == "news"


async def test_room_metadata_reaches_everybody(edge: Edge) -> None:
    async with service(edge) as rooms, SignalClient.connect(edge.url, edge.token("ada")) as ada:
        await ada.expect("join")
        await rooms.update_room_metadata(
            api.UpdateRoomMetadataRequest(room="hall", metadata="topic")
        )
        await ada.expect("room_update", lambda update: update.room.metadata == "topic")


@pytest.mark.parametrize(
    ("path", "grants", "status", "code"),
    [
        ("RoomService/ListRooms", {}, 401, "unauthenticated"),
        ("RoomService/ListRooms", {"roomList": True}, 200, None),
        ("RoomService/ListParticipants", {"roomAdmin": True, "room": "x"}, 401, "unauthenticated"),
        ("RoomService/ListParticipants", {"roomAdmin": True}, 404, "not_found"),
        ("RoomService/MoveParticipant", {"roomAdmin": True}, 501, "unimplemented"),
        ("Egress/ListEgress", {}, 501, "unimplemented"),
    ],
)
async def test_grants_and_errors_of_json_calls(
    edge: Edge, path: str, grants: dict[str, object], status: int, code: str | None
) -> None:
    token = edge.token("server", **{"roomJoin": False, **grants})
    url = f"{edge.url.replace('ws', 'http')}/twirp/livekit.{path}"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
        http.post(url, json={"room": "hall"}) as response,
    ):
        body = await response.json()
        assert (response.status, body.get("code")) == (status, code)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"\xff", "application/protobuf"), (b"{", "application/json"), (b"", "text/plain")],
)
async def test_a_body_that_cannot_be_read_is_refused(
    edge: Edge, body: bytes, content_type: str
) -> None:
    token = edge.token("server", roomList=True)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
    url = f"{edge.url.replace('ws', 'http')}/twirp/livekit.RoomService/ListRooms"
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(url, data=body) as response,
    ):
        assert response.status in (400, 404)
        assert (await response.json())["code"] in ("malformed", "bad_route")


async def test_the_answer_has_the_form_of_the_call_however_that_is_spelt(edge: Edge) -> None:
    url = f"{edge.url.replace('ws', 'http')}/twirp/livekit.RoomService/ListRooms"
    headers = {
        "Authorization": f"Bearer {edge.token('server', roomList=True)}",
        "Content-Type": "Application/JSON",
    }
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=b"{}", headers=headers) as response,
    ):
        assert await response.json() == {"rooms": []}
