"""Twirp (v7) over HTTP: one POST for each method, protobuf or JSON, errors as JSON.

Server SDKs call their room service this way. This is only the framing: a service maps method names
to functions, and raises `TwirpError`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from sfu.limits import SERVER_API_BODY_BYTES_MAX
from signalling import strict_json
from signalling.grants import Grants
from signalling.http.body import BodyTooLargeError, read_body

JSON: Final = "application/json"
PROTOBUF: Final = "application/protobuf"
_JSON_FORMAT: Final[Any] = json_format  # its functions are not typed


class Code(StrEnum):
    """Twirp's error codes, as far as they are used here."""

    BAD_ROUTE = "bad_route"
    FAILED_PRECONDITION = "failed_precondition"
    INVALID_ARGUMENT = "invalid_argument"
    MALFORMED = "malformed"
    NOT_FOUND = "not_found"
    UNAUTHENTICATED = "unauthenticated"
    UNAVAILABLE = "unavailable"
    UNIMPLEMENTED = "unimplemented"


_STATUS: Final = {
    Code.BAD_ROUTE: 404,
    Code.FAILED_PRECONDITION: 412,
    Code.INVALID_ARGUMENT: 400,
    Code.MALFORMED: 400,
    Code.NOT_FOUND: 404,
    Code.UNAUTHENTICATED: 401,
    Code.UNAVAILABLE: 503,
    Code.UNIMPLEMENTED: 501,
}


class TwirpError(Exception):
    """A call that cannot be served; the text goes to the caller."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    def response(self) -> web.Response:
        """The answer of the HTTP server."""
        body = {"code": self.code.value, "msg": self.text}
        return web.json_response(body, status=_STATUS[self.code])


@dataclass(frozen=True, slots=True)
class Method:
    """`call` takes a message of type `request` and whatever the service passes beside it.

    `grant` names what a caller's token has to grant before the request is read.
    """

    request: Any
    call: Callable[..., Awaitable[Any]]
    grant: str

    def check(self, grants: Grants) -> None:
        """Raises TwirpError."""
        if not getattr(grants, self.grant):
            raise TwirpError(Code.UNAUTHENTICATED, "permissions denied")


async def read(request: web.Request, method: Method) -> Any:
    """The message of a call. Raises TwirpError."""
    if request.content_type not in (JSON, PROTOBUF):
        raise TwirpError(Code.BAD_ROUTE, f"unexpected Content-Type: {request.content_type!r}")
    message = method.request()
    try:
        body = await read_body(request, SERVER_API_BODY_BYTES_MAX)
        if request.content_type == JSON:
            value = strict_json.parse_object(body)
            _JSON_FORMAT.ParseDict(value, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(body)
    except BodyTooLargeError as error:
        raise TwirpError(Code.INVALID_ARGUMENT, f"the request has {error}") from None
    except TimeoutError:
        raise TwirpError(Code.MALFORMED, "the request did not come") from None
    except (DecodeError, json_format.ParseError, ValueError, TypeError, RecursionError):
        raise TwirpError(Code.MALFORMED, "the request could not be decoded") from None
    return message


def respond(request: web.Request, message: Any) -> web.Response:
    """The answer, in the form in which the call came; JSON has the schema's names and defaults."""
    if request.content_type == JSON:
        text: str = _JSON_FORMAT.MessageToJson(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return web.Response(text=text, content_type=JSON)
    return web.Response(body=message.SerializeToString(), content_type=PROTOBUF)


def find(methods: Mapping[str, Method], name: str) -> Method:
    """Looks a method up. Raises TwirpError for one that is not served."""
    method = methods.get(name)
    if method is None:
        raise TwirpError(Code.UNIMPLEMENTED, f"method {name[:64]!r} is not served")
    return method
