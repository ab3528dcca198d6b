"""Names of conferences: links that nobody can guess and that no store has to remember.

A name is `<id><tag>` in lower-case base 32, 28 characters: 60 random bits, and 80 bits of
HMAC-SHA256 over them under a secret derived from an API key. A conference with a title carries it
in its name, after a hyphen, and the tag covers it too.

A name is valid if its tag is right, and that is all that is ever looked at: whether somebody is in
the room, or ever was, makes no difference to any answer. Guessing a valid name means guessing the
tag (2^80), and one name tells nothing about another. Names keep working over restarts and on every
node that has the same keys; taking a key away ends the names made under it.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass

from sfu.limits import CONFERENCE_NAME_BYTES_MAX, TITLE_BYTES_MAX
from signalling.tokens import KeyRing

_ID_CHARS = 12
_TAG_CHARS = 16
# Crockford's alphabet: no letter looks like a digit, so a name can be read out and typed.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_AS_TYPED = str.maketrans("oil", "011")
_PURPOSE = b"kinguicall conference names 1"


class TitleError(ValueError):
    """A title is too long, or has characters that are not text."""


@dataclass(frozen=True, slots=True)
class Conference:
    """A conference as its name describes it. `title` is empty without one."""

    name: str
    title: str = ""


class ConferenceNames:
    """Makes and recognises names under the secrets of the API keys."""

    def __init__(self, keys: KeyRing) -> None:
        self._secrets = [
            hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256) for secret in keys.secrets()
        ]

    def create(self, title: str = "") -> Conference:
        """A new conference. Raises TitleError."""
        title = clean_text(title)
        if len(title.encode()) > TITLE_BYTES_MAX:
            raise TitleError(f"at most {TITLE_BYTES_MAX} bytes")
        identifier = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARS))
        suffix = _encode(title)
        name = identifier + _tag(self._secrets[0], identifier + suffix)
        return Conference(f"{name}-{suffix}" if suffix else name, title)

    def find(self, name: str) -> Conference | None:
        """The conference of a name as somebody may have typed it, None if we did not make it."""
        if len(name) > CONFERENCE_NAME_BYTES_MAX or not name.isascii():
            return None
        code, _, suffix = name.strip().partition("-")
        code = code.lower().translate(_AS_TYPED)
        identifier, tag = code[:_ID_CHARS], code[_ID_CHARS:]
        signed = identifier + suffix
        # Every secret is tried, so that the time does not tell which one has signed.
        valid = [hmac.compare_digest(_tag(secret, signed), tag) for secret in self._secrets]
        title = _decode(suffix) if any(valid) else None
        if title is None:
            return None
        return Conference(f"{code}-{suffix}" if suffix else code, title)


def clean_text(text: str) -> str:
    """Text that people typed, normalised, on one line. Raises TitleError for what is not text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TitleError("not a Unicode text") from None
    text = " ".join(unicodedata.normalize("NFC", text).split())
    # Controls, and marks that turn the direction of what stands around them.
    if any(unicodedata.category(c) == "Cc" or c in "\u202a\u202b\u202d\u202e" for c in text):
        raise TitleError("has control characters")
    return text


def _tag(secret: bytes, signed: str) -> str:
    number = int.from_bytes(hmac.digest(secret, signed.encode(), hashlib.sha256)[:10])
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(0, _TAG_CHARS * 5, 5))


def _encode(title: str) -> str:
    return base64.urlsafe_b64encode(title.encode()).rstrip(b"=").decode()


def _decode(suffix: str) -> str | None:
    try:
        return base64.urlsafe_b64decode(suffix + "=" * (-len(suffix) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
