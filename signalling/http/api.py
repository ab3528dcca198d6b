"""The page's API: create a conference, get a token for one. No account, no store, no cookie.

Errors are JSON `{"code": ..., "params": {...}}`; prose is the page's business. Limits count by
address: creating is limited, and so is asking for names that do not exist. A valid name is never
refused, because a whole hall of people may share one address.
"""

import asyncio
import json
import secrets
from dataclasses import replace
from enum import StrEnum
from typing import Any

from aiohttp import hdrs, web

from sfu import limits
from signalling import strict_json
from signalling.conferences import Conference, ConferenceNames, TitleError, clean_text
from signalling.grants import Claims, Grants
from signalling.http.addresses import Proxies
from signalling.http.body import BodyTooLargeError, read_body
from signalling.http.rate_limit import RateLimiter
from signalling.livekit import data_saver
from signalling.tokens import KeyRing

_IDENTITY_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


class ErrorCode(StrEnum):
    """What the page translates."""

    CONFERENCE_NOT_FOUND = "conference_not_found"
    INVALID_NAME = "invalid_name"
    INVALID_REQUEST = "invalid_request"
    INVALID_TITLE = "invalid_title"
    REQUEST_TOO_LARGE = "request_too_large"
    TOO_MANY_REQUESTS = "too_many_requests"


_STATUS = {
    ErrorCode.CONFERENCE_NOT_FOUND: 404,
    ErrorCode.REQUEST_TOO_LARGE: 413,
    ErrorCode.TOO_MANY_REQUESTS: 429,
}


class ApiError(Exception):
    """A refused request; `params` go with the code into the translation."""

    def __init__(self, code: ErrorCode, **params: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.params = params

    def response(self) -> web.Response:
        headers: dict[str, str] = {}
        if "retry_after_s" in self.params:
            headers[hdrs.RETRY_AFTER] = str(self.params["retry_after_s"])
        body = {"code": self.code.value, "params": self.params}
        return _json(body, status=_STATUS.get(self.code, 400), headers=headers)


class ConferenceApi:
    """`POST /api/conferences` and `POST /api/conferences/{name}/join`."""

    def __init__(self, keys: KeyRing, proxies: Proxies) -> None:
        loop = asyncio.get_running_loop()
        self._keys = keys
        self._proxies = proxies
        self._names = ConferenceNames(keys)
        self._creations = RateLimiter(limits.CREATIONS_BURST, limits.CREATIONS_PER_S, loop.time)
        self._misses = RateLimiter(limits.MISSES_BURST, limits.MISSES_PER_S, loop.time)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/api/conferences", self.create)
        router.add_post("/api/conferences/{name}/join", self.join)

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def create(self, request: web.Request) -> web.Response:
        """{title?} → 201 {name, title}."""
        try:
            body = await _read_object(request, ErrorCode.INVALID_TITLE)
            title = _text(body, "title")
            if not self._creations.allow(self._proxies.client(request)):
                raise _too_many(self._creations)
            conference = self._names.create(title)
        except TitleError:
            return ApiError(ErrorCode.INVALID_TITLE).response()
        except ApiError as error:
            return error.response()
        return _json({"name": conference.name, "title": conference.title}, status=201)

    async def join(self, request: web.Request) -> web.Response:
        """{role: "listener" | "speaker", display_name?, downlink_limit_kbps?}

        → {url, token, title, identity}.
        """
        try:
            body = await _read_object(request, ErrorCode.INVALID_NAME)
            role = _text(body, "role")
            if role not in ("listener", "speaker"):
                raise ApiError(ErrorCode.INVALID_REQUEST, field="role")
            display_name = _display_name(body)
            attributes = _attributes(body)
            conference = self._names.find(request.match_info["name"])
            if conference is None:
                allowed = self._misses.allow(self._proxies.client(request))
                raise (
                    ApiError(ErrorCode.CONFERENCE_NOT_FOUND) if allowed else _too_many(self._misses)
                )
        except ApiError as error:
            return error.response()
        claims = replace(_claims(conference, role, display_name), attributes=attributes)
        answer = {
            "url": self._proxies.signalling_url(request),
            "token": self._keys.mint(claims),
            "title": conference.title,
            "identity": claims.identity,
        }
        return _json(answer)


def _claims(conference: Conference, role: str, display_name: str) -> Claims:
    speaker = role == "speaker"
    suffix = "".join(secrets.choice(_IDENTITY_ALPHABET) for _ in range(12))
    metadata = json.dumps({"title": conference.title}) if conference.title else ""
    return Claims(
        identity=f"guest-{suffix}",
        name=display_name,
        grants=Grants(
            room=conference.name,
            room_join=True,
            can_publish=speaker,
            can_publish_data=speaker,
            can_update_own_metadata=speaker,
        ),
        room_config={"metadata": metadata} if metadata else None,
    )


def _display_name(body: dict[str, Any]) -> str:
    try:
        name = clean_text(_text(body, "display_name"))
    except TitleError:
        raise ApiError(ErrorCode.INVALID_NAME) from None
    if len(name.encode()) > limits.NAME_BYTES_MAX:
        raise ApiError(ErrorCode.INVALID_NAME, longest=limits.NAME_BYTES_MAX)
    return name


def _attributes(body: dict[str, Any]) -> dict[str, str]:
    """The data saver's bound, in the token: so it holds from the first packet on."""
    limit_kbps = body.get("downlink_limit_kbps")
    if limit_kbps is None:
        return {}
    attributes = {data_saver.ATTRIBUTE: str(limit_kbps)}
    if type(limit_kbps) is not int or not data_saver.is_everybodys_right(attributes):
        raise ApiError(ErrorCode.INVALID_REQUEST, field="downlink_limit_kbps")
    return attributes


def _too_many(limiter: RateLimiter) -> ApiError:
    return ApiError(ErrorCode.TOO_MANY_REQUESTS, retry_after_s=limiter.retry_after_s)


def _text(body: dict[str, Any], field: str) -> str:
    value = body.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ApiError(ErrorCode.INVALID_REQUEST, field=field)
    return value


async def _read_object(request: web.Request, bad_text: ErrorCode) -> dict[str, Any]:
    """The body as a JSON object; none at all counts as an empty one."""
    try:
        data = await read_body(request, limits.API_BODY_BYTES_MAX)
        return strict_json.parse_object(data or b"{}")
    except BodyTooLargeError as error:
        raise ApiError(ErrorCode.REQUEST_TOO_LARGE, longest=error.limit_bytes) from None
    except strict_json.TextError:
        raise ApiError(bad_text) from None
    except (TimeoutError, ValueError):
        raise ApiError(ErrorCode.INVALID_REQUEST) from None


def _json(
    body: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.json_response(
        body, status=status, headers={hdrs.CACHE_CONTROL: "no-store", **(headers or {})}
    )
