"""Bytes and escapes that are no Unicode, wherever a client can put them: a refusal, never a 500."""

import asyncio
import base64

import jwt
import pytest

from tests.signalling.http.conftest import KEYS, Client

CLAIMS = {
    "iss": KEYS.first,
    "sub": "ann",
    "exp": 9_999_999_999,
    "video": {"room": "r", "roomJoin": True, "canUpdateOwnMetadata": True},
}


def token(**claims: object) -> str:
    return jwt.encode({**CLAIMS, **claims}, KEYS.secrets()[0], "HS256")


async def status_of(client: Client, target: bytes, *headers: bytes, method: bytes = b"GET") -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: a", *headers]
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
    async with asyncio.timeout(5):
        status = int((await reader.readline()).split()[1])
    writer.close()
    return status


async def test_attributes_of_the_query(client: Client) -> None:
    for text in (b'{"a": "\\ud800"}', b'{"\\udfff": "a"}', b'{"a": "\xed\xa0\x80"}'):
        attributes = base64.urlsafe_b64encode(text).decode()
        query = {"access_token": token(), "attributes": attributes}
        assert (await client.get("/rtc/validate", params=query))[0] == 400


@pytest.mark.parametrize(
    "claims",
    [
        {"roomConfig": {"metadata": "\ud800"}},
        {"attributes": {"\ud800": "a"}},
        {"name": "\ud800"},
        {"sub": "\udc00"},
        {"more": [{"\ud800": 1}]},
    ],
)
async def test_claims(client: Client, claims: dict[str, object]) -> None:
    query = {"access_token": token(**claims)}
    assert (await client.get("/rtc/validate", params=query))[0] == 401


@pytest.mark.parametrize("raw", [b"\xff", b"\xed\xa0\x80", b"%ff", b"%ed%a0%80"])
async def test_bytes_of_the_request(client: Client, raw: bytes) -> None:
    good = token().encode()
    upgrade = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13")
    upgrade += (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",)
    for target, *headers in (
        (b"/" + raw,),
        (b"/c/" + raw,),
        (b"/rtc/validate?access_token=" + good + b"&sdk=" + raw + b"&device_model=" + raw,),
        (b"/rtc?access_token=" + good + b"&device_model=" + raw, *upgrade),
        (b"/rtc?access_token=" + good + b"&sid=" + raw + b"&reconnect=1", *upgrade),
        (b"/rtc?access_token=" + good, b"User-Agent: " + raw, *upgrade),
        (b"/rtc/validate", b"Authorization: Bearer " + raw),
        (b"/metrics", b"Accept: " + raw, b"If-None-Match: " + raw, b"Accept-Encoding: " + raw),
        (b"/", b"Accept: text/html" + raw, b"Origin: " + raw),
    ):
        assert await status_of(client, target, *headers) < 500, target
    for method, *headers in (
        (b"OPTIONS", b"Access-Control-Request-Headers: " + raw),
        (b"POST", b"Content-Type: " + raw, b"Content-Length: 2", b"", b"{}"),
        (b"POST", b"Content-Type: application/json; charset=" + raw, b"Content-Length: 0"),
        (b"PATCH", b"Transfer-Encoding: " + raw),
    ):
        for target in (b"/api/conferences", b"/twirp/livekit.RoomService/" + raw):
            assert await status_of(client, target, *headers, method=method) < 500, (method, target)
