"""What a request costs before anybody has shown a right to ask: its head, and nothing more."""

import asyncio
import json

import pytest

from sfu import limits
from signalling.grants import Claims, Grants
from tests.signalling.http.conftest import KEYS, Client

SERVICE = "/twirp/livekit.RoomService"
JSON = {"Content-Type": "application/json"}


def bearer(**grants: object) -> dict[str, str]:
    token = KEYS.mint(Claims("server", Grants(**grants)))  # type: ignore[arg-type]
    return {"Authorization": f"Bearer {token}"}


async def head_only(client: Client, path: str, headers: dict[str, str]) -> int:
    """Sends a head that promises a body, and returns the status that comes before the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    lines = [f"POST {path} HTTP/1.1", "Host: a", "Content-Length: 1000"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    try:
        async with asyncio.timeout(5):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (f"{SERVICE}/CreateRoom", JSON, 401),
        (f"{SERVICE}/CreateRoom", JSON | {"Authorization": "Bearer a.b.c"}, 401),
        (f"{SERVICE}/CreateRoom", JSON | bearer(room="r", room_join=True), 401),
        (f"{SERVICE}/SendData", JSON | bearer(room_create=True, room_list=True), 401),
        (f"{SERVICE}/ListRooms", JSON | bearer(room_admin=True, room="r"), 401),
        (f"{SERVICE}/Nothing", JSON | bearer(room_admin=True), 501),
        (f"{SERVICE}/CreateRoom", bearer(room_create=True), 404),
        ("/rtc/validate", {}, 405),
    ],
)
async def test_a_request_without_the_right_is_answered_before_its_body(
    client: Client, path: str, headers: dict[str, str], status: int
) -> None:
    assert await head_only(client, path, headers) == status


async def test_bodies_of_the_server_api_end_at_their_limit(client: Client) -> None:
    headers = JSON | bearer(room_create=True)
    longest = limits.SERVER_API_BODY_BYTES_MAX
    for size, wanted in ((longest, 200), (longest + 1, 400), (4 * longest, 400)):
        body = json.dumps({"name": "r", "unknown": ""})
        body = body.replace('""', '"' + "x" * (size - len(body)) + '"')
        assert len(body) == size
        status, text = await client.get(
            f"{SERVICE}/CreateRoom", "POST", data=body.encode(), headers=headers
        )
        assert status == wanted, text


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "\\ud800"}',
        b'{"metadata": "\\udc00", "name": "r"}',
        b'{"unknown": "\\ud800", "name": "r"}',
        b'{"name": "\xed\xa0\x80"}',
        b'{"name": NaN}',
        b'{"emptyTimeout": 1e999}',
        b'{"emptyTimeout": -1}',
        b"[" * 100_000,
        b"[]",
        b"7",
    ],
)
async def test_what_is_no_message_is_malformed(client: Client, body: bytes) -> None:
    headers = JSON | bearer(room_create=True)
    status, text = await client.get(f"{SERVICE}/CreateRoom", "POST", data=body, headers=headers)
    assert (status, json.loads(text)["code"]) == (400, "malformed")
