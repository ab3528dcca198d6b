"""What a token says: who the bearer is and what it may do. Values only, no cryptography.

Claim names and defaults are LiveKit's, because its SDKs make the tokens. Reading is strict: a claim
of the wrong type refuses the token rather than granting or withholding something by accident.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sfu import limits

SOURCES = ("camera", "microphone", "screen_share", "screen_share_audio")
KINDS = ("standard", "ingress", "egress", "sip", "agent", "connector", "bridge")


class Refusal(StrEnum):
    """Why somebody may not come in, as the operator counts it."""

    TOKEN = "token"  # noqa: S105 - the word, not one of them
    """None, not signed by one of the keys, or not valid now."""
    PERMISSION = "permission"
    """The token does not allow it."""
    MALFORMED = "malformed"
    """Something is missing, too long, or not what it should be."""
    REMOVED = "removed"
    FULL = "full"
    CLOSING = "closing"
    """The room, or the whole node."""


class TokenError(Exception):
    """A request that its token does not allow, as the HTTP answer has to say it."""

    def __init__(self, status: int, text: str, reason: Refusal = Refusal.MALFORMED) -> None:
        self.status = status
        self.text = text
        self.reason = reason
        super().__init__(text)


class ClaimError(ValueError):
    """A claim has the wrong type."""


@dataclass(frozen=True, slots=True)
class Grants:
    """The `video` claim. Fields that JSON may leave out have their meaning when absent."""

    room: str = ""
    room_join: bool = False
    room_create: bool = False
    room_list: bool = False
    room_record: bool = False
    room_admin: bool = False
    can_publish: bool = True
    can_subscribe: bool = True
    can_publish_data: bool = True
    can_publish_sources: tuple[str, ...] = ()
    can_update_own_metadata: bool = False
    hidden: bool = False
    recorder: bool = False
    agent: bool = False

    def can_publish_source(self, source: str) -> bool:
        """Whether a track of this source ("camera", ...) may be published."""
        return self.can_publish and (
            not self.can_publish_sources or source in self.can_publish_sources
        )


@dataclass(frozen=True, slots=True)
class Claims:
    """A verified token. `expires_at` and `issued_at` are in seconds since the epoch.

    `room_config` is the claim's JSON object (protojson of `RoomConfiguration`), None without one.
    """

    identity: str
    grants: Grants
    name: str = ""
    kind: str = "standard"
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    room_config: Mapping[str, Any] | None = None
    expires_at: int = 0
    issued_at: int = 0
    """Since when it counts; 0 if it does not say."""

    def check_join(self) -> None:
        """Raises TokenError unless the bearer may join the token's room."""
        if not self.grants.room_join:
            raise TokenError(401, "permissions denied", Refusal.PERMISSION)
        if not self.identity:
            raise TokenError(400, "identity cannot be empty")
        if not self.grants.room:
            raise TokenError(400, "room name cannot be empty")
        for what, value, longest in (
            ("identity", self.identity, limits.IDENTITY_BYTES_MAX),
            ("room name", self.grants.room, limits.ROOM_NAME_BYTES_MAX),
        ):
            if limits.utf8_bytes(value) > longest:
                raise TokenError(400, f"{what} exceeds the limit of {longest} bytes")
        if excess := limits.texts_excess(self.name, self.metadata, self.attributes):
            raise TokenError(400, excess)
        if limits.json_bytes(self.room_config) > limits.TOKEN_ROOM_BYTES_MAX:
            raise TokenError(
                400, f"roomConfig exceeds the limit of {limits.TOKEN_ROOM_BYTES_MAX} bytes"
            )


def read_claims(payload: Mapping[str, Any]) -> Claims:
    """The claims of a verified payload. Raises ClaimError for a value of the wrong type."""
    return Claims(
        identity=_text(payload, "sub") or _text(payload, "jti"),
        grants=_read_grants(_object(payload, "video") or {}),
        name=_text(payload, "name"),
        kind=_text(payload, "kind") or "standard",
        metadata=_text(payload, "metadata"),
        attributes=_text_map(payload, "attributes"),
        room_config=_object(payload, "roomConfig"),
        expires_at=int(payload.get("exp", 0)),
        issued_at=_issued_at(payload),
    )


def _issued_at(payload: Mapping[str, Any]) -> int:
    """LiveKit's SDKs write `nbf`, which is verified; others `iat`, which nobody looks at."""
    for name in ("nbf", "iat"):
        value = payload.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1 << 53:
            return int(value)
    return 0


def write_claims(claims: Claims) -> dict[str, Any]:
    """The claims as a token's payload, without issuer and times."""
    payload: dict[str, Any] = {"sub": claims.identity, "video": _write_grants(claims.grants)}
    optional = {
        "name": claims.name,
        "metadata": claims.metadata,
        "attributes": dict(claims.attributes),
        "roomConfig": dict(claims.room_config or {}),
        "kind": "" if claims.kind == "standard" else claims.kind,
    }
    payload.update({key: value for key, value in optional.items() if value})
    return payload


# Claim name and field of each grant that is false when absent.
_OFF_BY_DEFAULT = {
    "roomJoin": "room_join",
    "roomCreate": "room_create",
    "roomList": "room_list",
    "roomRecord": "room_record",
    "roomAdmin": "room_admin",
    "canUpdateOwnMetadata": "can_update_own_metadata",
    "hidden": "hidden",
    "recorder": "recorder",
    "agent": "agent",
}


def _read_grants(video: Mapping[str, Any]) -> Grants:
    can_publish = _flag(video, "canPublish", default=True)
    switches = {name: _flag(video, claim, default=False) for claim, name in _OFF_BY_DEFAULT.items()}
    return Grants(
        room=_text(video, "room"),
        can_publish=can_publish,
        can_subscribe=_flag(video, "canSubscribe", default=True),
        can_publish_data=_flag(video, "canPublishData", default=can_publish),
        can_publish_sources=_sources(video),
        **switches,
    )


def _write_grants(grants: Grants) -> dict[str, Any]:
    video: dict[str, Any] = {
        claim: True for claim, name in _OFF_BY_DEFAULT.items() if getattr(grants, name)
    }
    video["canPublish"] = grants.can_publish
    video["canSubscribe"] = grants.can_subscribe
    video["canPublishData"] = grants.can_publish_data
    if grants.room:
        video["room"] = grants.room
    if grants.can_publish_sources:
        video["canPublishSources"] = list(grants.can_publish_sources)
    return video


def _sources(video: Mapping[str, Any]) -> tuple[str, ...]:
    value = _typed(video, "canPublishSources", list) or []
    if not all(isinstance(item, str) for item in value):
        raise ClaimError("canPublishSources has to be a list of texts")
    return tuple(item.lower() for item in value)


def _flag(claims: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = _typed(claims, name, bool)
    return default if value is None else bool(value)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value: str = _typed(claims, name, str) or ""
    _check_unicode(value)
    return value


def _text_map(claims: Mapping[str, Any], name: str) -> dict[str, str]:
    value = _object(claims, name) or {}
    for key in value:
        _check_unicode(key)
    return {key: _text(value, key) for key in value}


def _check_unicode(text: str) -> None:
    """JSON can spell lone surrogates, which no protobuf can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ClaimError("not a Unicode text") from None


def _object(claims: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value: dict[str, Any] | None = _typed(claims, name, dict)
    return value


def _typed(claims: Mapping[str, Any], name: str, wanted: Callable[..., Any]) -> Any:
    """The claim, None if it is absent or null. Raises ClaimError if it is something else."""
    value = claims.get(name)
    if value is not None and type(value) is not wanted:
        raise ClaimError(f"{name} has the wrong type")
    return value
