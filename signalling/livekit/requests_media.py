"""Requests about peer connections and the client's own tracks."""

import contextlib
from dataclasses import replace

from livekit.protocol import rtc

from sfu import limits
from signalling import strict_json
from signalling.livekit import outbound
from signalling.livekit.session import Session


def offer(session: Session, request: rtc.SessionDescription) -> None:
    """The client offers on the publisher connection. Raises SdpError."""
    session.publisher.receive_offer(request.sdp, request.id)


def answer(session: Session, request: rtc.SessionDescription) -> None:
    """The client answers on the subscriber connection. Raises SdpError."""
    session.subscriber.receive_answer(request.sdp, request.id)


def trickle(session: Session, request: rtc.TrickleRequest) -> None:
    """The client's candidates are not needed: this server is ICE-lite, checks come to it.

    A malformed one is answered, so that the client's developer finds out.
    """
    candidate = None
    if limits.utf8_bytes(request.candidateInit) <= limits.CANDIDATE_BYTES_MAX:
        with contextlib.suppress(ValueError):
            candidate = strict_json.parse_object(request.candidateInit or "{}")
    if candidate is None:
        session.send(
            outbound.request_response(
                rtc.RequestResponse.INVALID_REQUEST, "candidateInit must be a JSON object"
            )
        )


def add_track(session: Session, request: rtc.AddTrackRequest) -> None:
    """The client announces a track."""
    session.publisher.add_track(request)


def mute(session: Session, request: rtc.MuteTrackRequest) -> None:
    """The client mutes a track, published or announced."""
    if not session.publisher.set_muted(request.sid, request.muted):
        session.send(
            outbound.request_response(rtc.RequestResponse.NOT_FOUND, "no such track", mute=request)
        )


def update_audio_track(session: Session, request: rtc.UpdateLocalAudioTrack) -> None:
    """The client has changed how it processes a microphone."""
    participant = session.context.participant
    track = participant.tracks.get(request.track_sid)
    if track is None:
        session.send(
            outbound.request_response(
                rtc.RequestResponse.NOT_FOUND, "no such track", update_audio_track=request
            )
        )
        return
    features = tuple(int(feature) for feature in request.features[:16])
    session.context.room.update_track(participant, replace(track.info, audio_features=features))


def update_video_track(session: Session, request: rtc.UpdateLocalVideoTrack) -> None:
    """The client has changed the size of a picture."""
    participant = session.context.participant
    track = participant.tracks.get(request.track_sid)
    if track is None:
        session.send(
            outbound.request_response(
                rtc.RequestResponse.NOT_FOUND, "no such track", update_video_track=request
            )
        )
        return
    info = replace(track.info, width=request.width, height=request.height)
    session.context.room.update_track(participant, info)
