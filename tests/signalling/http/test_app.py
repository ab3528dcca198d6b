"""The server from outside: what SDKs rely on, and what attackers try."""

import asyncio
import gzip
import time

import aiohttp
import pytest
from aiohttp import web
from livekit import api
from livekit.protocol import rtc
from yarl import URL

from sfu.limits import HTTP_LINE_BYTES_MAX
from signalling.http import cors
from signalling.http.app import _hide_faults as hide_faults
from tests.signalling.http.conftest import KEYS, Client
from tests.support.http import serving

V1_PATHS = ["/rtc/v1", "/rtc/v1/validate", "/rtc/v2", "//rtc/v1", "//rtc/v1/validate"]


@pytest.mark.parametrize("path", V1_PATHS)
async def test_newer_signalling_paths_are_not_found_in_a_way_that_sdks_understand(
    client: Client, path: str
) -> None:
    """Traps 1 and 2: CORS on the 404, and not the sentence about an absent room."""
    status, text = await client.get(URL(f"http://127.0.0.1:{client.port}{path}"))
    assert status == 404
    assert "requested room does not exist" not in text


@pytest.mark.parametrize("path", ["/rtc/v1", "//rtc/v1"])
async def test_a_websocket_to_newer_signalling_is_refused_with_404(
    client: Client, path: str
) -> None:
    """Trap 3: with any other status Rust and Python do not fall back."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await client.http.ws_connect(f"http://127.0.0.1:{client.port}{path}?join_request=abc")
    assert caught.value.status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_root_is_a_health_probe_for_sdks(client: Client, method: str) -> None:
    """Trap 31: JS probes it in prepareConnection and before it reconnects."""
    status, text = await client.get("/", method)
    assert (status, text) == (200, "OK" if method == "GET" else "")


@pytest.mark.parametrize("origin", [None, "null", "https://elsewhere.example"])
async def test_any_origin_gets_a_preflight(client: Client, origin: str | None) -> None:
    headers = {"Access-Control-Request-Headers": "authorization, x-a"}
    headers |= {"Origin": origin} if origin else {}
    async with client.http.options("/rtc/validate", headers=headers) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Headers"] == "authorization, x-a"
        assert "DELETE" in response.headers["Access-Control-Allow-Methods"]
        assert response.headers["Access-Control-Max-Age"] == "86400"
        assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("path", ["/rtc", "//rtc"])
async def test_joining_over_a_websocket(client: Client, path: str) -> None:
    url = f"http://127.0.0.1:{client.port}{path}?protocol=16&access_token={client.token()}"
    async with client.http.ws_connect(url) as socket:
        message = await socket.receive(timeout=5)
    assert rtc.SignalResponse.FromString(message.data).WhichOneof("message") == "join"


async def test_a_plain_request_for_the_websocket_is_not_found(client: Client) -> None:
    assert await client.get(f"/rtc?access_token={client.token()}") == (404, "not found")


@pytest.mark.parametrize("slash", ["/", "//"])
async def test_validate_says_that_a_token_is_good(client: Client, slash: str) -> None:
    url = URL(f"http://127.0.0.1:{client.port}{slash}rtc/validate?access_token={client.token()}")
    assert await client.get(url) == (200, "success")
    bearer = {"Authorization": f"Bearer {client.token()}"}
    assert await client.get("/rtc/validate?access_token=bad", headers=bearer) == (200, "success")


async def test_validate_and_connect_refuse_alike(client: Client) -> None:
    cases = {
        "": 401,
        "access_token=bad": 401,
        f"access_token={client.token(ttl_s=-3600)}": 401,
        f"access_token={client.token(identity='')}": 400,
        f"access_token={client.token(room='')}": 400,
        f"access_token={client.token(room='r' * 257)}": 400,
        f"access_token={client.token()}&attributes=notjson": 400,
        f"access_token={client.token()}&attributes=eyJhIjoiYiJ9": 401,
    }
    for query, wanted in cases.items():
        status, text = await client.get(f"/rtc/validate?{query}")
        assert (status, bool(text)) == (wanted, True), query
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.http.ws_connect(f"/rtc?{query}")
        assert caught.value.status == wanted, query


async def test_a_url_far_longer_than_8_kilobytes_is_taken(client: Client) -> None:
    """Trap 28: tokens with attributes, and whole offers in the query."""
    status, text = await client.get(f"/rtc/validate?access_token={'x' * 100_000}")
    assert (status, text) == (401, "invalid authorization token")
    assert (await client.get(f"/rtc/v1?join_request={'x' * 100_000}"))[0] == 404


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"x" * (HTTP_LINE_BYTES_MAX + 1) + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\na: " + b"x" * (HTTP_LINE_BYTES_MAX + 1) + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 300 + b"\r\n",
        b"POST /api/conferences HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET //[ HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused_without_a_line_in_the_log(
    client: Client, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(data)
    assert (await reader.readline()).split()[1] in (b"400", b"404")
    writer.close()
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


BIG = HTTP_LINE_BYTES_MAX - 1_000
BOMB = gzip.compress(b" " * 50_000_000)


@pytest.mark.parametrize(
    "data",
    [
        b"GET " + b"/" * BIG + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET " + b"/" * BIG + b"rtc HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET " + b"/a" * (BIG // 2) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /" + b"%2f" * (BIG // 3) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /rtc/validate?" + b"a=b&" * (BIG // 4) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: " + b"a/b;q=1," * (BIG // 8) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + b"a=b; " * (BIG // 5) + b"\r\n\r\n",
        b"POST /api/conferences HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
        + b"Content-Length: %d\r\n\r\n" % len(BOMB)
        + BOMB,
    ],
)
async def test_hostile_requests_do_not_hold_the_event_loop(client: Client, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    started = time.process_time()
    writer.write(data)
    assert (await reader.readline()).startswith(b"HTTP/1.1 ")
    assert time.process_time() - started < 0.5  # 0.1 s is the aim; the rest is for a busy machine
    writer.close()


async def test_bodies_are_limited(client: Client) -> None:
    async with client.http.post("/api/conferences", data=b" " * (1 << 19)) as response:
        assert response.status == 413
        assert (await response.json())["code"] == "request_too_large"


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/assets/../../pyproject.toml"],
)
async def test_other_paths_are_not_found(client: Client, path: str) -> None:
    url = URL(f"http://127.0.0.1:{client.port}{path}", encoded=True)
    assert (await client.get(url))[0] == 404


async def test_healthz(client: Client) -> None:
    assert await client.get("/healthz") == (200, "OK")


async def test_a_fault_of_ours_is_logged_once_and_answered_without_details(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(_request: web.Request) -> web.Response:
        raise KeyError("secret")

    async def fail_late(request: web.Request) -> web.WebSocketResponse:
        await web.WebSocketResponse().prepare(request)
        raise KeyError("secret")

    app = web.Application(middlewares=[hide_faults])
    app.on_response_prepare.append(cors.add_headers)
    app.router.add_get("/", fail)
    app.router.add_get("/late", fail_late)
    async with (
        serving(app) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        assert await Client(http, port).get("/") == (500, "internal error")
        async with http.ws_connect("/late") as socket:
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSED
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "request failed",
        "request failed",
    ]


async def test_livekits_server_sdk_manages_rooms(client: Client) -> None:
    url = f"http://127.0.0.1:{client.port}"
    async with api.LiveKitAPI(url, KEYS.first, KEYS.secrets()[0]) as livekit:
        created = await livekit.room.create_room(api.CreateRoomRequest(name="town hall"))
        listed = await livekit.room.list_rooms(api.ListRoomsRequest())
        assert [room.sid for room in listed.rooms] == [created.sid]
        await livekit.room.delete_room(api.DeleteRoomRequest(room="town hall"))
        assert not (await livekit.room.list_rooms(api.ListRoomsRequest())).rooms
