"""The query parameters of `/rtc`, and what they say about a client.

Everything is optional and unknown parameters are ignored: clients of many versions call. Only
`attributes` can be refused, as it is the one that carries content.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from livekit.protocol import models

from sfu.limits import ATTRIBUTES_BYTES_MAX, CLIENT_TEXT_BYTES_MAX, attributes_bytes, cut
from signalling import strict_json

_TRUE: Final = frozenset({"1", "true", "True", "TRUE", "t"})
_PROTOCOL_DEFAULT: Final = 12
"""For clients that do not say: the oldest protocol that is served."""
_BROWSERS: Final = (
    ("Firefox", re.compile(r"(?:firefox|fxios)/(\d{1,5})")),
    ("Chrome", re.compile(r"(?:chrome|chromium|crios)/(\d{1,5})")),
    ("Safari", re.compile(r"version/(\d{1,5}).* safari/")),
)
"""In this order, as most browsers name several others."""
_IOS: Final = re.compile("iphone|ipad|ipod|(?:cri|fxi|edgi)os/")
_USER_AGENT_LIMIT: Final = 512
_CHROMIUM_TAKES_ACTIVE: Final = 120
"""Older ones may refuse offers that say `setup:active` (RFC 8842, section 5.3): libwebrtc did, and
takes them since the spring of 2023 at the latest."""


class QueryError(Exception):
    """A parameter cannot be understood; the text may be sent to the client."""


@dataclass(frozen=True, slots=True)
class ClientDescription:
    """What a client says of itself."""

    sdk: str = ""
    version: str = ""
    protocol: int = _PROTOCOL_DEFAULT
    client_protocol: int = 0
    capabilities: tuple[int, ...] = ()
    os: str = ""
    browser: str = ""
    browser_version: str = ""
    device_model: str = ""

    @property
    def is_webkit(self) -> bool:
        """Safari, or any browser on iOS: all are Safari within."""
        on_ios = bool(self.browser) and self.os.lower() == "ios"
        return on_ios or "safari" in self.browser.lower()

    @property
    def chooses_short_tags(self) -> bool:
        """As a DTLS server it prefers AES-CM, whose SRTP tags have 10 bytes where GCM's have 16.

        That is Chromium; Firefox prefers GCM, and other clients may refuse such an offer.
        """
        major = self.browser_version.partition(".")[0]
        is_recent = len(major) < 6 and major.isdecimal() and int(major) >= _CHROMIUM_TAKES_ACTIVE
        is_chromium = self.browser.lower() == "chrome" and not self.is_webkit
        return self.sdk.lower() == "js" and is_chromium and is_recent


@dataclass(frozen=True, slots=True)
class ConnectQuery:
    """How a client wants to connect."""

    client: ClientDescription = field(default_factory=ClientDescription)
    auto_subscribe: bool = True
    adaptive_stream: bool = False
    attributes: tuple[tuple[str, str], ...] = ()
    reconnect: bool = False
    participant_sid: str = ""
    """The session that `reconnect` wants to resume."""


def parse(query: Mapping[str, str], user_agent: str = "") -> ConnectQuery:
    """Reads the parameters. Raises QueryError for malformed attributes.

    The SDK for browsers does not name the browser: then its `User-Agent` does.
    """
    named = query if "browser" in query else {**query, **_named_by(user_agent)}
    client = ClientDescription(
        sdk=_text(query, "sdk"),
        version=_text(query, "version"),
        protocol=_integer(query, "protocol", _PROTOCOL_DEFAULT),
        client_protocol=_integer(query, "client_protocol", 0),
        capabilities=_capabilities(query.get("capabilities", "")),
        os=_text(named, "os"),
        browser=_text(named, "browser"),
        browser_version=_text(named, "browser_version"),
        device_model=_text(query, "device_model"),
    )
    return ConnectQuery(
        client=client,
        auto_subscribe=query.get("auto_subscribe", "1") in _TRUE,
        adaptive_stream=query.get("adaptive_stream", "0") in _TRUE,
        attributes=_attributes(query.get("attributes", "")),
        reconnect=query.get("reconnect", "0") in _TRUE,
        participant_sid=_text(query, "sid"),
    )


def _named_by(user_agent: str) -> dict[str, str]:
    text = user_agent[:_USER_AGENT_LIMIT].lower()
    for name, pattern in _BROWSERS:
        if match := pattern.search(text):
            found = {"browser": name, "browser_version": match[1]}
            return {**found, "os": "iOS"} if _IOS.search(text) else found
    return {}


def _text(query: Mapping[str, str], name: str) -> str:
    return cut(query.get(name, ""), CLIENT_TEXT_BYTES_MAX)


def _integer(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if text.isascii() and text.isdigit() and len(text) <= 6:
        return int(text)
    return default


def _capabilities(text: str) -> tuple[int, ...]:
    enum: Any = models.ClientInfo.Capability
    known = dict(enum.items())
    return tuple(known[name] for name in text.split(",")[:32] if name in known)


def _attributes(text: str) -> tuple[tuple[str, str], ...]:
    """URL-safe base64 of a JSON object of strings, with or without padding."""
    if not text:
        return ()
    if len(text) > ATTRIBUTES_BYTES_MAX * 2:
        raise QueryError("attributes are too large")
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        value = strict_json.parse_object(decoded)
    except ValueError:
        raise QueryError("attributes must be base64 of a JSON object") from None
    if not all(isinstance(item, str) for item in value.values()):
        raise QueryError("attributes must be a JSON object of strings")
    if attributes_bytes(value.items()) > ATTRIBUTES_BYTES_MAX:
        raise QueryError(f"attributes are larger than {ATTRIBUTES_BYTES_MAX} bytes")
    return tuple(value.items())
