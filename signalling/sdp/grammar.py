"""Text to lines and back, and the lexical rules of single values (RFC 8866, section 9).

The limits on the size of a description are checked before anything is built from the text, so that
a hostile one costs little: splitting is linear, and a line is looked at by itself. What they count
is what is used; candidates are not, by a server that is ICE-lite, and of those beyond the limit
nothing is kept.
"""

import re
from dataclasses import dataclass, field

from sfu.limits import (
    SDP_CANDIDATES_MAX,
    SDP_LINE_BYTES_MAX,
    SDP_LINES_MAX,
    SDP_LIST_ITEMS_MAX,
    SDP_SECTION_ATTRIBUTES_MAX,
    SDP_SECTIONS_MAX,
    SDP_TEXT_BYTES_MAX,
)
from signalling.sdp.errors import SdpError

_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+", re.ASCII)
_ICE_CHARS = re.compile(r"[0-9A-Za-z+/=_\-]+", re.ASCII)
_RID = re.compile(r"[0-9A-Za-z_\-]+", re.ASCII)
_FINGERPRINT = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2})*", re.ASCII)


@dataclass(slots=True)
class RawSection:
    """The m-line's value, then (type letter, value) of each following line."""

    media: str
    lines: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class RawDescription:
    lines: list[tuple[str, str]] = field(default_factory=list)
    sections: list[RawSection] = field(default_factory=list)


def split(text: str) -> RawDescription:
    """Splits a description into its levels. Raises SdpError beyond this module's limits."""
    _check_size(text)
    raw = RawDescription()
    level = raw.lines
    used = candidates = 0
    for line in filter(None, text.replace("\r\n", "\n").split("\n")):
        if line.startswith("a=candidate:"):
            candidates += 1
            if candidates > SDP_CANDIDATES_MAX:
                continue
        elif (used := used + 1) > SDP_LINES_MAX:
            raise SdpError("too many lines", expected=f"at most {SDP_LINES_MAX}")
        letter, value = _letter_and_value(line)
        if letter != "m":
            level.append((letter, value))
            continue
        if len(raw.sections) == SDP_SECTIONS_MAX:
            raise SdpError("too many sections", expected=f"at most {SDP_SECTIONS_MAX}")
        section = RawSection(value)
        raw.sections.append(section)
        level, candidates = section.lines, 0
    _check_counts(raw)
    return raw


def _letter_and_value(line: str) -> tuple[str, str]:
    if len(line) > SDP_LINE_BYTES_MAX:
        raise SdpError("line too long", expected=f"at most {SDP_LINE_BYTES_MAX}", got=len(line))
    if line[1:2] != "=" or not "a" <= line[0] <= "z":
        raise SdpError("malformed line", expected="<letter>=<value>", got=line)
    return line[0], line[2:]


def _check_counts(raw: RawDescription) -> None:
    for lines in (raw.lines, *(section.lines for section in raw.sections)):
        count = sum(letter == "a" for letter, _ in lines)
        if count > SDP_SECTION_ATTRIBUTES_MAX:
            raise SdpError(
                "too many attributes in a section",
                expected=f"at most {SDP_SECTION_ATTRIBUTES_MAX}",
                got=count,
            )


def _check_size(text: str) -> None:
    # A character takes at most four bytes, so short texts need not be encoded to be measured.
    if len(text) > SDP_TEXT_BYTES_MAX:
        raise SdpError("description too large", expected=f"at most {SDP_TEXT_BYTES_MAX} bytes")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise SdpError("not a Unicode text", expected="no lone surrogates") from None
    if size > SDP_TEXT_BYTES_MAX:
        raise SdpError(
            "description too large", expected=f"at most {SDP_TEXT_BYTES_MAX} bytes", got=size
        )
    if "\0" in text:
        raise SdpError("malformed line", expected="no NUL character")
    if text.count("\r") != text.count("\r\n"):
        raise SdpError("malformed line", expected="no carriage return inside a line")


def token(text: str, what: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise SdpError(f"malformed {what}", expected="a token", got=text)
    return text


def rid_token(text: str) -> str:
    """An RTP stream identifier (RFC 8851, section 10): it also has to fit a header extension."""
    if len(text) > 16 or not _RID.fullmatch(text):
        raise SdpError("malformed rid", expected="1 to 16 letters, digits, _ or -", got=text)
    return text


def ice_chars(text: str, what: str, shortest: int) -> str:
    """An ICE user name fragment or password (RFC 8839, section 5.4): at most 256 characters.

    URL-safe base64 characters are accepted besides ice-char: some clients use them.
    """
    if not shortest <= len(text) <= 256 or not _ICE_CHARS.fullmatch(text):
        raise SdpError(f"malformed {what}", expected=f"{shortest} to 256 ice-chars", got=text)
    return text


def fingerprint_value(text: str) -> str:
    """Pairs of hexadecimal digits with colons, in upper case (RFC 8122, section 5)."""
    upper = text.upper()
    if len(text) > 200 or not _FINGERPRINT.fullmatch(upper):
        raise SdpError("malformed fingerprint", expected='"AB:CD:..."', got=text)
    return upper


def number(text: str, what: str, largest: int, smallest: int = 0) -> int:
    """A decimal number within bounds."""
    if len(text) <= 20 and text.isascii() and text.isdigit():
        value = int(text)
        if smallest <= value <= largest:
            return value
    raise SdpError(f"malformed {what}", expected=f"{smallest} to {largest}", got=text)


def items(text: str, what: str, most: int = SDP_LIST_ITEMS_MAX) -> list[str]:
    """The parts between spaces, a bounded number of them."""
    parts = text.split()
    if len(parts) > most:
        raise SdpError(f"too many items in {what}", expected=f"at most {most}", got=len(parts))
    return parts
