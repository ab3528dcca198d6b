"""LiveKit's RoomService: rooms and participants, from a server that holds an API key.

Every method names the grant that it needs. A call acts on the rooms of this node at once, and the
participants concerned are told as if one of them had acted. Methods are coroutines: where a room is
on several nodes, they will have to ask the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from aiohttp import hdrs, web
from livekit.protocol import models
from livekit.protocol import room as schema

from sfu import limits
from sfu.engine import EngineBusyError
from sfu.node import Node, NodeStoppingError
from sfu.participant import Participant
from sfu.rights import DeniedError
from sfu.room import Room
from sfu.values import EndReason, Permissions, RoomOptions, TrackSource
from signalling import twirp
from signalling.grants import Claims, TokenError
from signalling.livekit import wire
from signalling.tokens import KeyRing, access_token
from signalling.twirp import Code, Method, TwirpError

NONCE_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class RoomService:
    """`POST /twirp/livekit.RoomService/{method}`."""

    node: Node
    keys: KeyRing

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Every other service is answered as unimplemented, which its clients report."""
        router.add_post("/twirp/livekit.RoomService/{method}", self._handle)
        router.add_post("/twirp/{service}/{method}", _unserved)

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            token = access_token(request.headers.get(hdrs.AUTHORIZATION), {})
            claims = self.keys.verify(token)
            method = twirp.find(METHODS, request.match_info["method"])
            method.check(claims.grants)
            message = await twirp.read(request, method)
            return twirp.respond(request, await method.call(self.node, claims, message))
        except TokenError as error:
            return TwirpError(Code.UNAUTHENTICATED, error.text).response()
        except NodeStoppingError as error:
            return TwirpError(Code.UNAVAILABLE, str(error)).response()
        except TwirpError as error:
            return error.response()


async def _unserved(_request: web.Request) -> web.Response:
    return TwirpError(Code.UNIMPLEMENTED, "this service is not served").response()


# --- rooms ------------------------------------------------------------------------------------


async def create_room(node: Node, claims: Claims, request: schema.CreateRoomRequest) -> models.Room:
    """Makes a room, or returns the one of that name."""
    longest = limits.ROOM_NAME_BYTES_MAX
    if not 0 < limits.utf8_bytes(request.name) <= longest:
        raise TwirpError(Code.INVALID_ARGUMENT, f"name must have 1 to {longest} bytes")
    _check_metadata(request.metadata)
    default = RoomOptions()
    options = RoomOptions(
        empty_timeout_s=request.empty_timeout or default.empty_timeout_s,
        departure_timeout_s=request.departure_timeout or default.departure_timeout_s,
        max_participants=request.max_participants,
        metadata=request.metadata,
    )
    return wire.room(node.room(request.name, options).snapshot())


async def list_rooms(node: Node, claims: Claims, request: schema.ListRoomsRequest) -> Any:
    """All rooms, or those of the given names that exist."""
    wanted = set(request.names)
    rooms = [room for room in node.list_rooms() if not wanted or room.name in wanted]
    return schema.ListRoomsResponse(rooms=[wire.room(room.snapshot()) for room in rooms])


async def delete_room(node: Node, claims: Claims, request: schema.DeleteRoomRequest) -> Any:
    """Ends a room for everybody in it."""
    _room(node, request.room).close(EndReason.ROOM_DELETED)
    return schema.DeleteRoomResponse()


async def update_room_metadata(
    node: Node, claims: Claims, request: schema.UpdateRoomMetadataRequest
) -> models.Room:
    """Replaces a room's metadata."""
    room = _administered(node, claims, request.room)
    _check_metadata(request.metadata)
    room.set_metadata(request.metadata)
    return wire.room(room.snapshot())


# --- participants -----------------------------------------------------------------------------


async def list_participants(
    node: Node, claims: Claims, request: schema.ListParticipantsRequest
) -> Any:
    """Everybody in a room, the hidden ones too."""
    room = _administered(node, claims, request.room)
    members = [wire.participant(member) for member in room.list_participants()]
    return schema.ListParticipantsResponse(participants=members)


async def get_participant(
    node: Node, claims: Claims, request: schema.RoomParticipantIdentity
) -> models.ParticipantInfo:
    """One participant."""
    participant = _administered(node, claims, request.room).find_participant(request.identity)
    if participant is None:
        raise TwirpError(Code.NOT_FOUND, "participant does not exist")
    return wire.participant(participant)


async def remove_participant(
    node: Node, claims: Claims, request: schema.RoomParticipantIdentity
) -> Any:
    """Puts a participant out, also if it comes back with a token from before.

    `revoke_token_ts` (seconds since the epoch) says until when tokens may not have been issued: far
    in the future, it is a ban. Tokens are also revoked of somebody who is not there at the moment.
    """
    room = _administered(node, claims, request.room)
    if limits.utf8_bytes(request.identity) > limits.IDENTITY_BYTES_MAX:
        raise TwirpError(Code.NOT_FOUND, "participant does not exist")
    node.removals.revoke(room.name, request.identity, request.revoke_token_ts)
    participant = room.member(request.identity)
    if participant is not None:
        room.expel(participant, EndReason.PARTICIPANT_REMOVED)
    elif not request.revoke_token_ts:
        raise TwirpError(Code.NOT_FOUND, "participant does not exist")
    return schema.RemoveParticipantResponse()


async def mute_published_track(
    node: Node, claims: Claims, request: schema.MuteRoomTrackRequest
) -> schema.MuteRoomTrackResponse:
    """Mutes a track. A microphone cannot be opened from afar."""
    room, participant = _participant(node, claims, request)
    track = participant.tracks.get(request.track_sid)
    if track is None:
        raise TwirpError(Code.NOT_FOUND, "track does not exist")
    if track.info.muted and not request.muted:
        raise TwirpError(Code.FAILED_PRECONDITION, "only its publisher can unmute a track")
    if request.muted:
        room.mute(participant, track.sid)
    return schema.MuteRoomTrackResponse(track=wire.track(track.info))


async def update_participant(
    node: Node, claims: Claims, request: schema.UpdateParticipantRequest
) -> models.ParticipantInfo:
    """Changes what others see of a participant, and what it may do."""
    room, participant = _participant(node, claims, request)
    patch = dict(request.attributes)
    if request.name or request.metadata or patch:
        try:
            room.update_participant(
                participant,
                name=request.name or None,
                metadata=request.metadata or None,
                attributes=patch,
            )
        except DeniedError as denied:
            raise TwirpError(Code.INVALID_ARGUMENT, denied.text) from None
    message: Any = request
    if message.HasField("permission"):
        hidden = participant.hidden  # what others know of somebody cannot be taken back
        permissions = replace(_permissions(request.permission), hidden=hidden)
        room.set_permissions(participant, permissions)
    return wire.participant(participant.snapshot())


async def update_subscriptions(
    node: Node, claims: Claims, request: schema.UpdateSubscriptionsRequest
) -> Any:
    """Subscribes a participant to tracks, or unsubscribes it."""
    room, participant = _participant(node, claims, request)
    track_sids = list(request.track_sids)
    for group in request.participant_tracks:
        track_sids.extend(group.track_sids)
    room.request_subscription(participant, track_sids, request.subscribe)
    return schema.UpdateSubscriptionsResponse()


async def send_data(node: Node, claims: Claims, request: schema.SendDataRequest) -> Any:
    """Sends a message to a room, or to some of its participants, from nobody."""
    room = _administered(node, claims, request.room)
    longest = limits.SERVER_DATA_BYTES_MAX
    if len(request.data) > longest or len(request.nonce) not in (0, NONCE_BYTES):
        raise TwirpError(
            Code.INVALID_ARGUMENT,
            f"at most {longest} bytes of data, and a nonce of none or {NONCE_BYTES}",
        )
    members = map(room.participant, request.destination_sids)
    identities = [*request.destination_identities, *(m.identity for m in members if m is not None)]
    if not identities and request.destination_sids:
        return schema.SendDataResponse()  # for people who have left
    packet = models.DataPacket(
        destination_identities=identities,
        user=models.UserPacket(
            payload=request.data,
            topic=request.topic,
            destination_identities=identities,
            nonce=request.nonce,
        ),
    )
    reliable = request.kind == models.DataPacket.RELIABLE
    engine, message = node.engine, wire.encode(packet)
    try:
        engine.ask(engine.core.send_data, room.engine_room_id, message, reliable=reliable)
    except EngineBusyError:
        raise TwirpError(Code.UNAVAILABLE, "the media threads are behind") from None
    return schema.SendDataResponse()


_ADMIN: Final = "room_admin"
METHODS: Final[Mapping[str, Method]] = {
    "CreateRoom": Method(schema.CreateRoomRequest, create_room, "room_create"),
    "ListRooms": Method(schema.ListRoomsRequest, list_rooms, "room_list"),
    "DeleteRoom": Method(schema.DeleteRoomRequest, delete_room, "room_create"),
    "UpdateRoomMetadata": Method(
        schema.UpdateRoomMetadataRequest, update_room_metadata, "room_admin"
    ),
    "ListParticipants": Method(schema.ListParticipantsRequest, list_participants, _ADMIN),
    "GetParticipant": Method(schema.RoomParticipantIdentity, get_participant, _ADMIN),
    "RemoveParticipant": Method(schema.RoomParticipantIdentity, remove_participant, _ADMIN),
    "MutePublishedTrack": Method(schema.MuteRoomTrackRequest, mute_published_track, _ADMIN),
    "UpdateParticipant": Method(schema.UpdateParticipantRequest, update_participant, _ADMIN),
    "UpdateSubscriptions": Method(
        schema.UpdateSubscriptionsRequest, update_subscriptions, "room_admin"
    ),
    "SendData": Method(schema.SendDataRequest, send_data, _ADMIN),
}


def _demand(granted: bool) -> None:
    if not granted:
        raise TwirpError(Code.UNAUTHENTICATED, "permissions denied")


def _administered(node: Node, claims: Claims, name: str) -> Room:
    _demand(claims.grants.room_admin and claims.grants.room == name)
    return _room(node, name)


def _room(node: Node, name: str) -> Room:
    room = node.find_room(name)
    if room is None:
        raise TwirpError(Code.NOT_FOUND, "requested room does not exist")
    return room


def _participant(node: Node, claims: Claims, request: Any) -> tuple[Room, Participant]:
    room = _administered(node, claims, request.room)
    participant = room.member(request.identity)
    if participant is None:
        raise TwirpError(Code.NOT_FOUND, "participant does not exist")
    return room, participant


def _check_metadata(metadata: str) -> None:
    longest = limits.ROOM_METADATA_BYTES_MAX
    if limits.utf8_bytes(metadata) > longest:
        raise TwirpError(Code.INVALID_ARGUMENT, f"metadata exceeds {longest} bytes")


def _permissions(message: models.ParticipantPermission) -> Permissions:
    known = {int(source): source for source in TrackSource}
    sources = [known.get(int(number)) for number in message.can_publish_sources]
    granted = Permissions(
        can_subscribe=message.can_subscribe,
        can_publish=message.can_publish,
        can_publish_data=message.can_publish_data,
        can_update_metadata=message.can_update_metadata,
        can_subscribe_metrics=message.can_subscribe_metrics,
        can_manage_agent_session=message.can_manage_agent_session,
        recorder=message.recorder,
        agent=message.agent,
    )
    return granted.limited_to(sources)
