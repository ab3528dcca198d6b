"""Tokens: what is accepted, and every way of forging one that has worked somewhere."""

import base64
import hmac
import json
import time
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu import limits
from signalling.grants import Claims, Grants, TokenError
from signalling.tokens import KeyRing, KeysError, access_token, make_secret

SECRET = "a-secret-of-more-than-thirty-two-bytes-for-tests"
pytestmark = pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")

KEYS = KeyRing({"devkey": SECRET, "second": "another-secret-of-more-than-thirty-two-bytes"})
PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
JOIN = Claims("ann", Grants(room="r", room_join=True))


def payload(**changes: Any) -> dict[str, Any]:
    claims = {
        "iss": "devkey",
        "sub": "ann",
        "exp": int(time.time()) + 60,
        "video": {"room": "r", "roomJoin": True},
        **changes,
    }
    return {key: value for key, value in claims.items() if value is not None}


def signed(secret: str = SECRET, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(payload(**changes), secret, "HS256", headers=headers)


def unsigned(header: dict[str, Any], body: str, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), body.encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def refusal(token: str) -> TokenError:
    with pytest.raises(TokenError) as caught:
        KEYS.verify(token)
    return caught.value


def test_a_token_survives_minting_and_verifying() -> None:
    claims = Claims(
        identity="ann",
        name="Ann",
        metadata="{}",
        attributes={"role": "host"},
        kind="agent",
        room_config={"maxParticipants": 3},
        grants=Grants(
            room="r",
            room_join=True,
            can_publish=False,
            can_publish_data=True,
            can_publish_sources=("camera",),
            hidden=True,
        ),
    )

    verified = KEYS.verify(KEYS.mint(claims, ttl_s=60))

    assert verified.expires_at - int(time.time()) in (59, 60)
    assert verified.expires_at - verified.issued_at == 60
    assert verified == Claims(
        **{name: getattr(claims, name) for name in Claims.__slots__ if not name.endswith("_at")},
        expires_at=verified.expires_at,
        issued_at=verified.issued_at,
    )


def test_absent_grants_have_livekits_defaults() -> None:
    grants = KEYS.verify(signed()).grants
    assert (grants.can_publish, grants.can_subscribe, grants.can_publish_data) == (True, True, True)
    assert not any((grants.can_update_own_metadata, grants.hidden, grants.room_admin))

    listener = KEYS.verify(signed(video={"room": "r", "roomJoin": True, "canPublish": False}))
    assert not listener.grants.can_publish_data


def test_sources_limit_what_can_be_published() -> None:
    grants = Grants(can_publish_sources=("microphone",))
    assert grants.can_publish_source("microphone")
    assert not grants.can_publish_source("camera")
    assert not Grants(can_publish=False).can_publish_source("camera")


def test_jti_stands_in_for_an_absent_subject() -> None:
    assert KEYS.verify(signed(sub=None, jti="bob")).identity == "bob"


def test_a_minute_of_clock_difference_is_forgiven() -> None:
    now = int(time.time())
    assert KEYS.verify(signed(exp=now - 50, nbf=now + 50)).identity == "ann"
    assert refusal(signed(exp=now - 61)).status == 401
    assert refusal(signed(nbf=now + 65)).status == 401


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS384", "RS256"])
def test_other_algorithms_are_refused(algorithm: str) -> None:
    token = unsigned({"alg": algorithm, "typ": "JWT"}, json.dumps(payload()))
    assert (refusal(token).status, refusal(token).text) == (401, "invalid authorization token")


def test_a_stronger_hmac_is_refused_even_with_the_right_secret() -> None:
    assert refusal(jwt.encode(payload(), SECRET + SECRET, "HS512")).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"kid": "../../dev/null"},
        {"kid": "second"},
    ],
)
def test_headers_that_change_the_meaning_are_refused(headers: dict[str, Any]) -> None:
    header = {"alg": "HS256", **headers}
    signing = unsigned(header, json.dumps(payload())).rpartition(".")[0]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        signing.encode(), SECRET.encode()
    )
    token = f"{signing}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

    assert refusal(token).status == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": "soon"},
        {"exp": [1]},
        {"iss": None},
        {"sub": 7},
        {"name": {"a": 1}},
        {"video": []},
        {"video": {"roomJoin": "yes"}},
        {"video": {"canPublish": 0}},
        {"video": {"canPublishSources": [1]}},
        {"attributes": {"a": 1}},
        {"roomConfig": "x"},
        {"metadata": "\ud800"},
        {"attributes": {"\ud800": "a"}},
        {"roomConfig": {"metadata": "\udc00"}},
        {"unknown": ["\ud800"]},
        {"exp": True},
        {"exp": "9999999999"},
        {"nbf": "0"},
    ],
)
def test_claims_of_the_wrong_type_are_refused(changes: dict[str, Any]) -> None:
    assert refusal(signed(**changes)).status == 401


@pytest.mark.parametrize("exp", ["1e999", "NaN", "Infinity", "1" * 5000])
def test_an_expiry_that_is_no_number_is_refused(exp: str) -> None:
    body = json.dumps(payload(exp=12345)).replace("12345", exp)
    assert refusal(unsigned({"alg": "HS256"}, body, b"x" * 32)).status == 401


@pytest.mark.parametrize("exp", ["1e999", "NaN", "Infinity", "1" * 5000])
def test_a_signed_expiry_that_is_no_number_is_refused(exp: str) -> None:
    body = json.dumps(payload(exp=12345)).replace("12345", exp)
    signing = unsigned({"alg": "HS256"}, body).rpartition(".")[0]
    signature = hmac.digest(SECRET.encode(), signing.encode(), "sha256")
    token = f"{signing}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert refusal(token).status == 401


def test_nothing_is_parsed_before_the_signature_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds no key must not reach a parser, nor learn which keys there are."""

    def parsed(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    forged = [
        signed(secret="not-the-secret-but-long-enough-for-hs256"),
        signed(secret="not-the-secret-but-long-enough-for-hs256", iss="nobody"),
        unsigned({"alg": "HS256"}, "[" * 10_000, b"x" * 32),
        signed()[:-1],
        "a.b.c",
        "",
    ]
    monkeypatch.setattr(json, "loads", parsed)
    assert {(refusal(token).status, refusal(token).text) for token in forged} == {
        (401, "invalid authorization token")
    }


def test_two_names_for_one_secret_are_both_taken() -> None:
    """As while an operator renames a key."""
    keys = KeyRing({"old": SECRET, "devkey": SECRET})
    assert keys.verify(signed()).identity == "ann"
    assert keys.verify(keys.mint(JOIN)).identity == "ann"


@pytest.mark.parametrize(
    ("name", "metadata", "attributes"),
    [
        ("é" * 128, "ü" * 8_192, {"é" * 100: "ß" * 8_092}),
        ("世" * 85, "世" * 5_461, {"k": "世" * 5_461}),
        ('"' * 256, '{"a": ["\n", "b"]}' * 900, {"a": '"' * 3_000}),
        ("n", "\x01" * 6_000, {}),
    ],
)
def test_texts_that_are_accepted_survive_a_refreshed_token(
    name: str, metadata: str, attributes: dict[str, str]
) -> None:
    """The token has to pass the checks of its own server, and to fit into a request's line."""
    config = {"metadata": "m" * limits.ROOM_METADATA_BYTES_MAX}
    claims = replace(JOIN, name=name, metadata=metadata, attributes=attributes, room_config=config)
    claims.check_join()
    token = KEYS.refresh(claims)
    again = KEYS.verify(token)
    again.check_join()
    assert replace(again, expires_at=0, issued_at=0) == claims
    assert len(token) <= limits.TOKEN_BYTES_MAX <= limits.HTTP_LINE_BYTES_MAX - limits.KIB


def test_a_foreign_key_or_secret_is_refused() -> None:
    assert refusal(signed(iss="nobody")).text == "invalid API key"
    assert refusal(signed(secret="not-the-secret-but-long-enough-for-hs256")).status == 401
    assert refusal(signed(iss="second")).status == 401


def test_deeply_nested_json_is_refused() -> None:
    token = unsigned({"alg": "HS256"}, "[" * 200_000, b"x" * 32)
    assert refusal(token).status == 401


def test_an_oversized_token_is_refused() -> None:
    assert refusal(signed(metadata="x" * (1 << 20))).status == 401


@given(st.text())
def test_arbitrary_text_is_refused(text: str) -> None:
    assert refusal(text).status == 401


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        (Claims("ann", Grants(room="r")), 401),
        (Claims("", Grants(room="r", room_join=True)), 400),
        (Claims("a" * 257, Grants(room="r", room_join=True)), 400),
        (Claims("ann", Grants(room_join=True)), 400),
        (Claims("ann", Grants(room="r" * 257, room_join=True)), 400),
        (Claims("ann", Grants(room="r", room_join=True), name="n" * 257), 400),
        (Claims("ann", Grants(room="r", room_join=True), name="é" * 129), 400),
        (Claims("ann", Grants(room="r", room_join=True), metadata="m" * 16_385), 400),
        (Claims("ann", Grants(room="r", room_join=True), metadata="é" * 8_193), 400),
        (Claims("ann", Grants(room="r", room_join=True), metadata="\x01" * 16_000), 400),
        (Claims("ann", Grants(room="r", room_join=True), attributes={"é": "é" * 8_192}), 400),
        (Claims("ann", Grants(room="r", room_join=True), room_config={"a": "b" * 30_000}), 400),
        (Claims("ann", Grants(room="r", room_join=True), metadata="m" * 600_000), 400),
        (Claims("ann", Grants(room="r", room_join=True), attributes={"a": "b" * 70_000}), 400),
    ],
)
def test_joining_needs_the_grant_and_sane_sizes(claims: Claims, status: int) -> None:
    with pytest.raises(TokenError) as caught:
        claims.check_join()
    assert caught.value.status == status
    JOIN.check_join()


def test_a_refreshed_token_lasts_what_was_left_but_ten_minutes_at_least() -> None:
    """Trap 26: without it a reconnect after expiry fails."""
    now = int(time.time())
    long = KEYS.verify(KEYS.refresh(Claims("ann", JOIN.grants, expires_at=now + 7200)))
    short = KEYS.verify(KEYS.refresh(Claims("ann", JOIN.grants, expires_at=now + 5)))
    assert abs(long.expires_at - now - 7200) <= 1
    assert abs(short.expires_at - now - 600) <= 1


def test_keys_are_read_from_pairs() -> None:
    keys = KeyRing.parse(f" one : {SECRET} , two:b ")
    assert keys.first == "one"
    assert keys.short_secrets() == ["two"]
    assert keys.verify(KeyRing({"two": "b"}).mint(JOIN)).identity == "ann"


@pytest.mark.parametrize("text", ["", " , ", "no-colon", "a:", ":b", "a:b,a:c", "a:" + PEM])
def test_unusable_keys_are_refused_without_showing_the_secret(text: str) -> None:
    with pytest.raises(KeysError) as caught:
        KeyRing.parse(text)
    assert "BEGIN" not in str(caught.value)


def test_the_header_wins_over_the_query() -> None:
    assert access_token("Bearer one", {"access_token": "two"}) == "one"
    assert access_token(None, {"access_token": "two"}) == "two"
    for authorization in ("Basic abc", "Bearer", "Bearer  "):
        with pytest.raises(TokenError):
            access_token(authorization, {"access_token": "two"})
    with pytest.raises(TokenError):
        access_token(None, {})


def test_made_secrets_are_long_enough() -> None:
    assert not KeyRing({"k": make_secret()}).short_secrets()
    assert make_secret() != make_secret()


@pytest.mark.parametrize(
    ("times", "issued_at"),
    [
        ({"nbf": 1000, "iat": 2000}, 1000),
        ({"iat": 2000.5}, 2000),
        ({"iat": "yesterday"}, 0),
        ({"iat": True}, 0),
        ({"iat": -5}, 0),
        ({}, 0),
    ],
)
def test_a_token_says_since_when_it_counts(times: dict[str, object], issued_at: int) -> None:
    token = jwt.encode(
        {"iss": KEYS.first, "sub": "ann", "exp": int(time.time()) + 60, **times},
        KEYS.secrets()[0],
        algorithm="HS256",
    )
    assert KEYS.verify(token).issued_at == issued_at
