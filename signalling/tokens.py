"""Access tokens: HS256 JWTs signed with one of the configured API keys.

The token is the whole authority: there are no cookies and no sessions, so a foreign web page has
nothing to abuse. Only HS256 is taken, whatever the header says, and any header parameter that
could change the meaning of the signature (`crit`, a foreign `kid`) refuses the token.
"""

import secrets
import time
import warnings
from collections.abc import Mapping
from typing import Any

import jwt

from sfu import limits
from signalling.grants import ClaimError, Claims, TokenError, read_claims, write_claims

ALGORITHM = "HS256"
LEEWAY_S = 60
DEFAULT_TTL_S = 6 * 3600
REFRESH_TTL_MIN_S = 600
SECRET_BYTES_WANTED = 32

# The program warns about short secrets once, at its start; PyJWT would at every token.
warnings.filterwarnings("ignore", category=jwt.InsecureKeyLengthWarning)

_OPTIONS: Any = {
    "require": ["exp", "iss"],
    "verify_aud": False,
    "verify_iat": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class KeysError(ValueError):
    """The configured API keys cannot be used. The text never contains a secret."""


class KeyRing:
    """API keys and their secrets; the first one signs."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """Raises KeysError if there is no key, or one that no token can be signed with."""
        if not keys:
            raise KeysError("no API key")
        self._secrets = dict(keys)
        self._first = next(iter(self._secrets))
        for key, secret in self._secrets.items():
            if not key or not secret:
                raise KeysError("an API key or its secret is empty")
            try:
                jwt.encode({}, secret, ALGORITHM)
            except jwt.PyJWTError:
                raise KeysError(f"the secret of {key!r} is a public key or certificate") from None

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
        try:
            # Nothing needs to be longer, and everything below is linear in the length.
            if not token.isascii() or len(token) > limits.TOKEN_BYTES_MAX:
                raise _invalid()
            payload = self._verified_payload(token)
            return read_claims(payload)
        except (jwt.PyJWTError, ClaimError, ValueError, OverflowError, RecursionError):
            raise _invalid() from None

    def _verified_payload(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        unverified: Any = jwt.decode(token, options={"verify_signature": False})
        issuer = unverified.get("iss")
        if header.get("alg") != ALGORITHM or "crit" in header or "b64" in header:
            raise _invalid()
        secret = self._secrets.get(issuer) if isinstance(issuer, str) else None
        if secret is None:
            raise TokenError(401, "invalid API key")
        if header.get("kid", issuer) != issuer:
            raise _invalid()
        payload: dict[str, Any] = jwt.decode(
            token, secret, algorithms=[ALGORITHM], leeway=LEEWAY_S, options=_OPTIONS
        )
        return payload

    def mint(self, claims: Claims, ttl_s: int = DEFAULT_TTL_S) -> str:
        """A token for these claims, signed with the first key; `expires_at` is not looked at."""
        now = int(time.time())
        payload = write_claims(claims)
        payload.update({"iss": self._first, "nbf": now, "exp": now + ttl_s})
        return jwt.encode(payload, self._secrets[self._first], ALGORITHM)

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
        raise TokenError(401, "no permissions to access the room")
    return token


def _invalid() -> TokenError:
    return TokenError(401, "invalid authorization token")
