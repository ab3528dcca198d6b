"""Tracks that a client has announced with `add_track` and not sent yet.

A track is announced, then negotiated: this holds the announcements in between, and finds those that
an offer's sections belong to. Clients give a publication up without a word, so an announcement may
stay behind: it never stands in the way of a later one. It knows neither the engine nor the socket.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from livekit.protocol import models, rtc

from sfu import ids, limits
from sfu.codec_plan import BackupCodecPolicy
from sfu.track import TrackCodec, TrackInfo, VideoLayer
from sfu.values import CodecRole, TrackKind, TrackSource, VideoQuality
from signalling import codecs
from signalling.media.receiving import Announcement

_STREAMS: Final = {
    TrackSource.CAMERA: "camera",
    TrackSource.MICROPHONE: "camera",
    TrackSource.SCREEN_SHARE: "screen",
    TrackSource.SCREEN_SHARE_AUDIO: "screen",
}
_ONE_LAYER_PER_STREAM: Final = 1
_ALL_LAYERS_IN_ONE_STREAM: Final = 2
_BACKUP: Final = CodecRole.BACKUP


class RefusedError(Exception):
    """An announcement cannot be accepted; `reason` is one of `RequestResponse.Reason`."""

    def __init__(self, reason: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(slots=True)
class Announcements:
    """In the order in which they were made."""

    _pending: dict[str, Announcement] = field(default_factory=dict)
    """By cid."""
    _passed_over: set[str] = field(default_factory=set)
    """Cids of those that an offer has come without: the client may have given them up."""
    _queued: list[rtc.AddTrackRequest] = field(default_factory=list)

    def add(
        self,
        request: rtc.AddTrackRequest,
        cids_in_use: frozenset[str],
        published: TrackInfo | None = None,
    ) -> Announcement:
        """Accepts an announcement. Raises RefusedError.

        One whose cid is in use is kept for `next_queued`, and refused with QUEUED; one whose cid is
        announced takes the place of that. `published` is the track whose sid the request names: it
        announces that track's backup codec.
        """
        reasons = rtc.RequestResponse
        kind_of(request)
        longest = max(limits.utf8_bytes(request.cid), limits.utf8_bytes(request.name))
        if not request.cid or longest > limits.ANNOUNCED_TEXT_BYTES_MAX:
            raise RefusedError(reasons.INVALID_REQUEST, "a cid is needed, and texts of sane length")
        if request.sid and published is None:
            raise RefusedError(reasons.NOT_FOUND, "there is no track with this sid")
        if request.cid in cids_in_use:
            self._queue(request)
            raise RefusedError(reasons.QUEUED, "the track with this cid has not ended yet")
        if published is None:
            announcement = Announcement(request.cid, track_info(request))
        else:
            announcement = Announcement(request.cid, with_backup(published, request), _BACKUP)
            self.forget(published.sid)
        # A client that announces anew has given up what it announced before.
        self._drop(request.cid)
        self._make_room()
        self._pending[request.cid] = announcement
        return announcement

    def forget(self, sid: str) -> None:
        """The backup codec of this track will not come, or will be announced again."""
        for one in list(self._pending.values()):
            if one.info.sid == sid and one.role is _BACKUP:
                self._drop(one.cid)

    def next_queued(self, cids_in_use: frozenset[str]) -> rtc.AddTrackRequest | None:
        """Takes an announcement whose cid has become free."""
        for request in self._queued:
            if request.cid not in cids_in_use and request.cid not in self._pending:
                self._queued.remove(request)
                return request
        return None

    def set_muted(self, sid: str, muted: bool) -> bool:
        """Mutes a track to come. Returns False if there is none with this sid."""
        for cid, announcement in self._pending.items():
            if announcement.info.sid == sid and announcement.role is not _BACKUP:
                info = replace(announcement.info, muted=muted)
                self._pending[cid] = Announcement(cid, info)
                return True
        return False

    def take(self, sections: Sequence[tuple[TrackKind, str]]) -> list[Announcement | None]:
        """The announcements of an offer's new sections: of each, the kind and its track's id.

        Firefox, and a client that has replaced a track, send another id than announced. Those
        sections get what was announced of their kind, in its order; of more than there are sections
        the latest, as the others have been given up, and first of all what no earlier offer has
        come without.
        """
        found = [self._take_named(kind, track_id) for kind, track_id in sections]
        for kind in TrackKind:
            nameless = [
                place
                for place, (wanted, _) in enumerate(sections)
                if wanted is kind and found[place] is None
            ]
            for place, announcement in zip(
                nameless, self._likely(kind, len(nameless)), strict=False
            ):
                found[place] = announcement
                self._drop(announcement.cid)
        self._passed_over = set(self._pending)
        return found

    def announced(self, cid: str) -> bool:
        """Whether a track with this cid is to come."""
        return cid in self._pending

    def _take_named(self, kind: TrackKind, track_id: str) -> Announcement | None:
        ours = [one for one in self._pending.values() if one.info.kind is kind]
        named = [one for one in ours if one.cid == track_id]
        named += [one for one in ours if one.info.codecs[one.role].cid == track_id]
        if named:
            self._drop(named[0].cid)
        return named[0] if named else None

    def _likely(self, kind: TrackKind, count: int) -> list[Announcement]:
        """So many of this kind, the likeliest to come, in the order of their announcement."""
        ours = [one for one in self._pending.values() if one.info.kind is kind]
        likeliest_last = sorted(ours, key=lambda one: one.cid not in self._passed_over)
        likely = {one.cid for one in likeliest_last[max(len(ours) - count, 0) :]}
        return [one for one in ours if one.cid in likely]

    def _queue(self, request: rtc.AddTrackRequest) -> None:
        self._queued = [one for one in self._queued if one.cid != request.cid]
        if len(self._queued) >= limits.QUEUED_ANNOUNCEMENTS_MAX:
            raise RefusedError(
                rtc.RequestResponse.LIMIT_EXCEEDED,
                f"{limits.QUEUED_ANNOUNCEMENTS_MAX} tracks wait for their turn, which is the limit",
            )
        self._queued.append(request)

    def _make_room(self) -> None:
        if len(self._pending) < limits.ANNOUNCED_TRACKS_MAX:
            return
        given_up = next((cid for cid in self._pending if cid in self._passed_over), None)
        if given_up is None:
            raise RefusedError(
                rtc.RequestResponse.LIMIT_EXCEEDED,
                f"{limits.ANNOUNCED_TRACKS_MAX} tracks wait for their media, which is the limit",
            )
        self._drop(given_up)

    def _drop(self, cid: str) -> None:
        self._pending.pop(cid, None)
        self._passed_over.discard(cid)


def track_info(request: rtc.AddTrackRequest) -> TrackInfo:
    """What the request says of the track, under a new sid."""
    kind = TrackKind(int(request.type))
    source = source_of(request)
    features = tuple(int(feature) for feature in request.audio_features[:16])
    return TrackInfo(
        sid=ids.track_sid(kind, source),
        kind=kind,
        source=source,
        name=request.name,
        muted=request.muted,
        width=request.width,
        height=request.height,
        codecs=_codecs(kind, request),
        stereo=request.stereo or models.TF_STEREO in features,
        disable_dtx=request.disable_dtx or models.TF_NO_DTX in features,
        disable_red=request.disable_red,
        encryption=int(request.encryption),
        stream=_text(request.stream) or _STREAMS.get(source, "unknown"),
        audio_features=features,
        backup_codec_policy=_backup_codec_policy(request),
        packet_trailer_features=tuple(int(one) for one in request.packet_trailer_features[:16]),
    )


def kind_of(request: rtc.AddTrackRequest) -> TrackKind:
    """The announced kind. Raises RefusedError for what is neither audio nor video."""
    try:
        return TrackKind(int(request.type))
    except ValueError:
        raise RefusedError(
            rtc.RequestResponse.UNSUPPORTED_TYPE, "only audio and video can be published"
        ) from None


def source_of(request: rtc.AddTrackRequest) -> TrackSource:
    """The announced source; one that is not known here is nobody's camera."""
    try:
        return TrackSource(int(request.source))
    except ValueError:
        return TrackSource.UNKNOWN


def with_backup(info: TrackInfo, request: rtc.AddTrackRequest) -> TrackInfo:
    """The track with what the request says of its backup codec. Raises RefusedError."""
    if len(info.codecs) <= _BACKUP or int(request.type) != info.kind:
        raise RefusedError(rtc.RequestResponse.INVALID_REQUEST, "the track has no backup codec")
    primary, backup = info.codecs
    if backup.mid:
        raise RefusedError(rtc.RequestResponse.INVALID_REQUEST, "the backup codec is there already")
    codec = next(iter(request.simulcast_codecs), rtc.SimulcastCodec())
    if codec.codec and _mime(info.kind, codec.codec) != backup.mime_type:
        raise RefusedError(
            rtc.RequestResponse.INVALID_REQUEST, "another backup codec was announced"
        )
    layers = _layers(codec.layers) or _layers(request.layers) or backup.layers
    backup = replace(backup, cid=request.cid, layers=layers)
    return replace(info, codecs=(primary, backup))


def _codecs(kind: TrackKind, request: rtc.AddTrackRequest) -> tuple[TrackCodec, ...]:
    """The primary codec, which is replaced if it is not served, and the backup, if that is served.

    More than one backup is not needed: every client decodes the first one that is served.
    """
    layers = _layers(request.layers)
    announced = list(request.simulcast_codecs[: limits.ANNOUNCED_CODECS_MAX])
    announced = announced or [rtc.SimulcastCodec()]
    mime = _mime(kind, announced[0].codec) or codecs.DEFAULTS[kind.name.lower()].mime_type
    primary = TrackCodec(
        mime_type=mime,
        cid=_text(announced[0].cid) or request.cid,
        layers=_layers(announced[0].layers) or layers,
        layer_mode=_layer_mode(kind, mime),
    )
    for codec in announced[1:] if kind is TrackKind.VIDEO else ():
        mime = _mime(kind, codec.codec)
        if mime and mime != primary.mime_type:
            ladder = _layers(codec.layers) or primary.layers
            return primary, TrackCodec(mime, "", ladder, _layer_mode(kind, mime))
    return (primary,)


def _text(text: str) -> str:
    return limits.cut(text, limits.ANNOUNCED_TEXT_BYTES_MAX)


def _backup_codec_policy(request: rtc.AddTrackRequest) -> BackupCodecPolicy:
    try:
        return BackupCodecPolicy(int(request.backup_codec_policy))
    except ValueError:
        return BackupCodecPolicy.PREFER_REGRESSION


def _mime(kind: TrackKind, codec: str) -> str:
    """The mime type of a codec given as "vp8" or "video/vp8"; empty if it is not served."""
    found = codecs.find(kind.name.lower(), codec)
    return found.mime_type if found else ""


def _layer_mode(kind: TrackKind, mime: str) -> int:
    if kind is not TrackKind.VIDEO:
        return 0
    return _ALL_LAYERS_IN_ONE_STREAM if codecs.is_scalable(mime) else _ONE_LAYER_PER_STREAM


def _layers(layers: Any) -> tuple[VideoLayer, ...]:
    read = layers[: limits.LAYERS_READ_MAX]
    known = [layer for layer in read if layer.quality in tuple(VideoQuality)]
    return tuple(
        VideoLayer(
            quality=VideoQuality(int(layer.quality)),
            width=layer.width,
            height=layer.height,
            bitrate_bps=layer.bitrate,
            ssrc=layer.ssrc,
            rid=layer.rid[:16],
            spatial_layer=layer.spatial_layer,
        )
        for layer in known[: limits.ANNOUNCED_LAYERS_MAX]
    )
