"""Creating and joining conferences over HTTP."""

import json
from typing import Any

import pytest

from sfu.limits import ADDRESSES_MAX, MISSES_BURST
from signalling.http.rate_limit import RateLimiter
from tests.signalling.http.conftest import KEYS, Client


async def post(client: Client, path: str, body: object = None, **options: Any) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, text = await client.get(path, "POST", data=data, **options)
    return status, json.loads(text)


async def test_a_conference_is_created_and_joined(client: Client) -> None:
    status, created = await post(client, "/api/conferences", {"title": " Le  marché "})
    assert (status, created["title"]) == (201, "Le marché")

    path = f"/api/conferences/{created['name']}/join"
    status, joined = await post(client, path, {"role": "speaker", "display_name": "Awa"})

    assert status == 200
    assert joined["title"] == "Le marché"
    assert joined["url"] == f"ws://127.0.0.1:{client.port}"
    claims = KEYS.verify(joined["token"])
    claims.check_join()
    assert (claims.identity, claims.name) == (joined["identity"], "Awa")
    assert claims.grants.room == created["name"]
    assert claims.grants.can_publish
    assert claims.room_config == {"metadata": '{"title": "Le march\\u00e9"}'}


async def test_a_listener_may_only_listen(client: Client) -> None:
    _, created = await post(client, "/api/conferences", {})
    path = f"/api/conferences/{created['name']}/join"

    _, first = await post(client, path, {"role": "listener"})
    _, second = await post(client, path, {"role": "listener"})

    grants = KEYS.verify(first["token"]).grants
    assert grants.can_subscribe
    assert not any((grants.can_publish, grants.can_publish_data, grants.room_admin))
    assert first["identity"] != second["identity"]


async def test_a_data_saver_comes_in_the_token(client: Client) -> None:
    _, created = await post(client, "/api/conferences", {})
    path = f"/api/conferences/{created['name']}/join"
    _, joined = await post(client, path, {"role": "listener", "downlink_limit_kbps": 100})
    assert KEYS.verify(joined["token"]).attributes == {"kinguicall.downlink_limit_kbps": "100"}
    assert await client.get(f"/rtc/validate?access_token={joined['token']}") == (200, "success")


async def test_the_token_opens_the_conference(client: Client) -> None:
    _, created = await post(client, "/api/conferences", b"")
    _, joined = await post(client, f"/api/conferences/{created['name']}/join", {"role": "listener"})
    assert await client.get(f"/rtc/validate?access_token={joined['token']}") == (200, "success")


async def test_the_pages_own_scheme_is_answered_behind_a_proxy(client: Client) -> None:
    _, created = await post(client, "/api/conferences", {})
    path = f"/api/conferences/{created['name']}/join"
    host = f"127.0.0.1:{client.port}"

    for headers, url in (
        ({"Origin": f"https://{host}"}, f"wss://{host}"),
        ({"Origin": "https://elsewhere.example"}, f"ws://{host}"),
        ({"X-Forwarded-Proto": "https"}, f"wss://{host}"),
    ):
        _, joined = await post(client, path, {"role": "listener"}, headers=headers)
        assert joined["url"] == url


async def test_names_that_were_not_created_all_look_alike_and_run_into_a_limit(
    client: Client,
) -> None:
    """Reliability table, row 23. A valid name still works for others behind the same address."""
    _, created = await post(client, "/api/conferences", {})
    # Somebody is in this room; a guess beside its name must not be answered differently.
    path = f"/rtc?access_token={client.token(room=created['name'])}"
    async with client.http.ws_connect(path):
        near = created["name"][:-1] + ("2" if created["name"][-1] != "2" else "3")
        guesses = [near, "a", "x" * 300, "demo", "%2e%2e%2f", "é"]
        answers = [
            await post(client, f"/api/conferences/{guess}/join", {"role": "listener"})
            for guess in guesses
        ]
    assert answers == [(404, {"code": "conference_not_found", "params": {}})] * len(guesses)

    for _ in range(MISSES_BURST):
        last = await post(client, "/api/conferences/guess/join", {"role": "listener"})
    assert (last[0], last[1]["code"]) == (429, "too_many_requests")
    good = f"/api/conferences/{created['name']}/join"
    assert (await post(client, good, {"role": "listener"}))[0] == 200


async def test_creating_is_limited(client: Client) -> None:
    statuses = [(await post(client, "/api/conferences", {}))[0] for _ in range(40)]
    assert statuses[0] == 201
    assert statuses[-1] == 429
    async with client.http.post("/api/conferences", data=b"{}") as response:
        assert int(response.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_request"),
        (b"[]", "invalid_request"),
        (b"[" * 16_000, "invalid_request"),
        (b"\xff", "invalid_request"),
        ({"title": 7}, "invalid_request"),
        ({"title": {"__proto__": 1}}, "invalid_request"),
        ({"title": "x" * 121}, "invalid_title"),
        ({"title": "a\u0000b"}, "invalid_title"),
        (b'{"title": "\\ud800"}', "invalid_title"),
    ],
)
async def test_malformed_requests_to_create_are_refused(
    client: Client, body: object, code: str
) -> None:
    status, answer = await post(client, "/api/conferences", body)
    assert (status, answer["code"]) == (400, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ({"role": "admin"}, "invalid_request"),
        ({"role": ["speaker"]}, "invalid_request"),
        ({"role": "speaker", "display_name": 3}, "invalid_request"),
        ({"role": "speaker", "display_name": "x" * 257}, "invalid_name"),
        ({"role": "speaker", "display_name": "\u202eevil"}, "invalid_name"),
        ({"role": "listener", "downlink_limit_kbps": "100"}, "invalid_request"),
        ({"role": "listener", "downlink_limit_kbps": -1}, "invalid_request"),
        ({"role": "listener", "downlink_limit_kbps": True}, "invalid_request"),
        ({"role": "listener", "downlink_limit_kbps": 10**9}, "invalid_request"),
    ],
)
async def test_malformed_requests_to_join_are_refused(
    client: Client, body: object, code: str
) -> None:
    _, created = await post(client, "/api/conferences", {})
    status, answer = await post(client, f"/api/conferences/{created['name']}/join", body)
    assert (status, answer["code"]) == (400, code)


async def test_markup_in_a_name_is_only_text(client: Client) -> None:
    _, created = await post(client, "/api/conferences", {})
    name = "<img src=x onerror=alert(1)>"
    _, joined = await post(
        client,
        f"/api/conferences/{created['name']}/join",
        {"role": "speaker", "display_name": name},
    )
    assert KEYS.verify(joined["token"]).name == name


def test_an_allowance_comes_back_with_time_and_old_addresses_are_forgotten() -> None:
    now = 0.0
    limiter = RateLimiter(2, 0.5, lambda: now)
    assert [limiter.allow("a") for _ in range(3)] == [True, True, False]
    now = 2.0
    assert [limiter.allow("a") for _ in range(2)] == [True, False]

    for number in range(ADDRESSES_MAX):
        limiter.allow(f"other {number}")
    assert limiter.allow("a")
