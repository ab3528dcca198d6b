"""Access tokens: HS256 JWTs signed with one of the configured API keys.

The token is the whole authority: there are no cookies and no sessions, so a foreign web page has
nothing to abuse. The signature is checked over the bytes as they came, before anything in them is
parsed: who holds no key reaches no parser. Only HS256 is taken, whatever the header says, and any
header parameter that could change the meaning of the signature (`crit`, a foreign `kid`) refuses
the token.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
import warnings
from collections.abc import Mapping
from typing import Any, Final

import jwt

from sfu import limits
from signalling import strict_json
from signalling.grants import ClaimError, Claims, Refusal, TokenError, read_claims, write_claims

ALGORITHM: Final = "HS256"
LEEWAY_S: Final = 60
DEFAULT_TTL_S: Final = 6 * 3600
REFRESH_TTL_MIN_S: Final = 600
SECRET_BYTES_WANTED: Final = 32
# The program warns about short secrets once, at its start; PyJWT would at every token.
warnings.filterwarnings("ignore", category=jwt.InsecureKeyLengthWarning)

_CHECKS: Any = {
    "require": ["exp", "iss"],
    "verify_aud": False,
    "verify_iat": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class KeysError(ValueError):
    """The configured API keys cannot be used. The text never contains a secret."""


class _Utf8(json.JSONEncoder):
    """Leaves letters as they are: escaped, a name in N'Ko would be three times as long."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "ensure_ascii": False})


class KeyRing:
    """API keys and their secrets; the first one signs."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """Raises KeysError if there is no key, or one that no token should be signed with."""
        if not keys:
            raise KeysError("no API key")
        self._secrets = dict(keys)
        self._first = next(iter(self._secrets))
        for key, secret in self._secrets.items():
            if not key or not secret:
                raise KeysError("an API key or its secret is empty")
            # Whoever has read the public key could sign.
            if "-----BEGIN" in secret or secret.startswith(("ssh-", "ecdsa-")):
                raise KeysError(f"the secret of {key!r} is a public key or certificate")

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Reads "key:secret,key:secret". Raises KeysError if it is malformed."""
        keys: dict[str, str] = {}
        for pair in filter(None, (part.strip() for part in text.split(","))):
            key, colon, secret = (part.strip() for part in pair.partition(":"))
            if not colon:
                raise KeysError('expected "key:secret" pairs, separated by commas')
            if key in keys:
                raise KeysError(f"API key {key!r} is given twice")
            keys[key] = secret
        return cls(keys)

    @property
    def first(self) -> str:
        """The key that signs."""
        return self._first

    def secrets(self) -> list[str]:
        """The secrets, that of the signing key first, to derive others from."""
        return list(self._secrets.values())

    def short_secrets(self) -> list[str]:
        """Keys whose secret is shorter than an HS256 secret should be (RFC 7518, section 3.2)."""
        return [
            key
            for key, secret in self._secrets.items()
            if len(secret.encode()) < SECRET_BYTES_WANTED
        ]

    def verify(self, token: str) -> Claims:
        """The claims of a token that one of the keys has signed and that is valid now.

        Raises TokenError (401) otherwise.
        """
        # Nothing needs to be longer, and everything below is linear in the length.
        if len(token) > limits.TOKEN_BYTES_MAX or not token.isascii():
            raise _invalid()
        signed, _, signature = token.encode().rpartition(b".")
        try:
            signers = self._signers(signed, _decode(signature))
            if not signers:
                raise _invalid()
            return read_claims(self._payload(token, signed.partition(b".")[2], signers))
        except (jwt.PyJWTError, ClaimError, ValueError, TypeError, OverflowError):
            raise _invalid() from None

    def _payload(self, token: str, body: bytes, signers: list[str]) -> dict[str, Any]:
        """What the token says, whose signature is right under each of these keys."""
        payload = strict_json.parse_object(_decode(body))
        issuer = payload.get("iss")
        header = jwt.get_unverified_header(token)
        if header.get("alg") != ALGORITHM or "crit" in header or "b64" in header:
            raise _invalid()
        if header.get("kid", issuer) != issuer:
            raise _invalid()
        # A NumericDate is a number (RFC 7519, section 2); PyJWT would read one from a text.
        if any(isinstance(payload.get(name), str | bool) for name in ("exp", "nbf")):
            raise _invalid()
        if issuer not in signers:
            raise TokenError(401, "invalid API key", Refusal.TOKEN)
        jwt.decode(token, self._secrets[issuer], [ALGORITHM], leeway=LEEWAY_S, options=_CHECKS)
        return payload

    def _signers(self, signed: bytes, signature: bytes) -> list[str]:
        """The keys under which the signature is right. All are tried, so time tells nothing."""
        right = [
            hmac.compare_digest(_sign(secret, signed), signature)
            for secret in self._secrets.values()
        ]
        return [key for key, matches in zip(self._secrets, right, strict=True) if matches]

    def mint(self, claims: Claims, ttl_s: int = DEFAULT_TTL_S) -> str:
        """A token for these claims, signed with the first key; `expires_at` is not looked at."""
        now = int(time.time())
        payload = write_claims(claims)
        payload.update({"iss": self._first, "nbf": now, "exp": now + ttl_s})
        return jwt.encode(payload, self._secrets[self._first], ALGORITHM, json_encoder=_Utf8)

    def refresh(self, claims: Claims) -> str:
        """A token to reconnect with: it lasts as long as `claims` would, or ten minutes."""
        left_s = claims.expires_at - int(time.time())
        return self.mint(claims, max(left_s, REFRESH_TTL_MIN_S))


def make_secret() -> str:
    """A new API secret of 256 bits."""
    return secrets.token_urlsafe(32)


def access_token(authorization: str | None, query: Mapping[str, str]) -> str:
    """The token of a request: the `Authorization` header wins over `access_token`.

    Raises TokenError (401) if there is none.
    """
    if authorization:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _invalid()
        return token.strip()
    token = query.get("access_token", "")
    if not token:
        raise TokenError(401, "no permissions to access the room", Refusal.TOKEN)
    return token


def _invalid() -> TokenError:
    return TokenError(401, "invalid authorization token", Refusal.TOKEN)


def _sign(secret: str, signed: bytes) -> bytes:
    return hmac.digest(secret.encode(), signed, hashlib.sha256)


def _decode(text: bytes) -> bytes:
    """Raises ValueError for what is no base64url."""
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64url") from None
