"""The node's values as messages of the LiveKit schema.

What goes to many clients is encoded once: a participant's snapshot keeps its bytes, and messages
that list participants are put together from such bytes, without building them again.
"""

from typing import Any, Final

from livekit.protocol import models

from sfu.notices import ParticipantSnapshot, RoomSnapshot
from sfu.track import TrackCodec, TrackInfo, VideoLayer
from sfu.values import Permissions
from signalling.codecs import CODECS

_LENGTH_DELIMITED: Final = 2
_CODECS: Final = (*(codec.mime_type for codec in CODECS), "video/rtx")


def length_delimited(field: int, payload: bytes) -> bytes:
    """One field of a message, as protobuf encodes strings and messages."""
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(message: Any) -> bytes:
    """A message of the schema as bytes. The generated types do not describe this method."""
    encoded: bytes = message.SerializeToString()
    return encoded


def enum(value: int) -> Any:
    """The number of an enum, which the generated types want to see as their own type."""
    return int(value)


def participant(snapshot: ParticipantSnapshot) -> models.ParticipantInfo:
    """`livekit.ParticipantInfo`."""
    return models.ParticipantInfo(
        sid=snapshot.sid,
        identity=snapshot.identity,
        name=snapshot.name,
        state=enum(snapshot.state),
        tracks=[track(info) for info in snapshot.tracks],
        metadata=snapshot.metadata,
        attributes=dict(snapshot.attributes),
        joined_at=snapshot.joined_at_ms // 1000,
        joined_at_ms=snapshot.joined_at_ms,
        version=snapshot.version,
        permission=permissions(snapshot.permissions),
        is_publisher=bool(snapshot.tracks),
        kind=enum(snapshot.kind),
        disconnect_reason=enum(snapshot.end_reason),
        client_protocol=snapshot.client.client_protocol,
        capabilities=[enum(capability) for capability in snapshot.client.capabilities],
    )


def participant_bytes(snapshot: ParticipantSnapshot) -> bytes:
    """`livekit.ParticipantInfo`, serialised at most once for each snapshot."""
    return snapshot.rendered(lambda it: (encode(participant(it)),))[0]


def permissions(granted: Permissions) -> models.ParticipantPermission:
    """`livekit.ParticipantPermission`."""
    return models.ParticipantPermission(
        can_subscribe=granted.can_subscribe,
        can_publish=granted.can_publish,
        can_publish_data=granted.can_publish_data,
        can_publish_sources=[enum(source) for source in sorted(granted.can_publish_sources)],
        hidden=granted.hidden,
        recorder=granted.recorder,
        can_update_metadata=granted.can_update_metadata,
        agent=granted.agent,
        can_subscribe_metrics=granted.can_subscribe_metrics,
        can_manage_agent_session=granted.can_manage_agent_session,
    )


def track(info: TrackInfo) -> models.TrackInfo:
    """`livekit.TrackInfo`, with the older fields that Go, Android and Flutter clients read."""
    return models.TrackInfo(
        sid=info.sid,
        type=enum(info.kind),
        name=info.name,
        muted=info.muted,
        width=info.width,
        height=info.height,
        simulcast=len(info.layers) > 1,
        disable_dtx=info.disable_dtx,
        source=enum(info.source),
        layers=[_layer(layer) for layer in info.layers],
        mime_type=info.mime_type,
        mid=info.codecs[0].mid if info.codecs else "",
        codecs=[_codec(codec) for codec in info.codecs],
        stereo=info.stereo,
        disable_red=info.disable_red,
        encryption=enum(info.encryption),
        stream=info.stream,
        audio_features=[enum(feature) for feature in info.audio_features],
        backup_codec_policy=enum(info.backup_codec_policy),
        packet_trailer_features=[enum(feature) for feature in info.packet_trailer_features],
    )


def _codec(codec: TrackCodec) -> models.SimulcastCodecInfo:
    return models.SimulcastCodecInfo(
        mime_type=codec.mime_type,
        mid=codec.mid,
        cid=codec.cid,
        layers=[_layer(layer) for layer in codec.layers],
        video_layer_mode=enum(codec.layer_mode),
        sdp_cid=codec.sdp_cid,
    )


def _layer(layer: VideoLayer) -> models.VideoLayer:
    return models.VideoLayer(
        quality=enum(layer.quality),
        width=layer.width,
        height=layer.height,
        bitrate=layer.bitrate_bps,
        ssrc=layer.ssrc,
        rid=layer.rid,
        spatial_layer=layer.spatial_layer,
    )


def room(snapshot: RoomSnapshot) -> models.Room:
    """`livekit.Room`."""
    return models.Room(
        sid=snapshot.sid,
        name=snapshot.name,
        empty_timeout=snapshot.empty_timeout_s,
        departure_timeout=snapshot.departure_timeout_s,
        max_participants=snapshot.max_participants,
        creation_time=snapshot.created_at_ms // 1000,
        creation_time_ms=snapshot.created_at_ms,
        enabled_codecs=[models.Codec(mime=mime) for mime in _CODECS],
        metadata=snapshot.metadata,
        num_participants=snapshot.participants,
        num_publishers=snapshot.publishers,
    )


def publish_codecs() -> list[models.Codec]:
    """What clients may publish, video first: an old Flutter takes the first for video."""
    video_first = sorted(CODECS, key=lambda codec: codec.kind != "video")
    return [models.Codec(mime=codec.mime_type) for codec in video_first]
