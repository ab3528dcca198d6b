"""The web client's files: headers, compression, and nothing outside the folder."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from signalling.http.health import Health
from signalling.http.static import CONTENT_SECURITY_POLICY, WebClient
from tests.support.http import serving

SCRIPT = "console.log(1)\n" * 100


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<!doctype html><title>Kinguicall</title>")
    (dist / "assets" / "index-abc123.js").write_text(SCRIPT)
    (dist / "assets" / "icon.png").write_bytes(b"\x89PNG")
    (tmp_path / "secret.txt").write_text("secret")
    (dist / "link.txt").symlink_to(tmp_path / "secret.txt")
    return dist


@pytest.fixture
async def http(folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async for session in serve(folder):
        yield session


async def serve(folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    client = WebClient(folder)
    app = web.Application()
    app.router.add_get("/", Health(lambda: True).root(client.page))
    app.router.add_get("/c/{name}", client.page)
    app.router.add_get("/{path:.+}", client.file)
    async with (
        serving(app) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as session,
    ):
        yield session


@pytest.mark.parametrize("path", ["/", "/c/some-conference"])
async def test_browsers_get_the_page_under_a_strict_policy(
    http: aiohttp.ClientSession, path: str
) -> None:
    async with http.get(path, headers={"Accept": "text/html,*/*;q=0.8"}) as response:
        assert "<title>Kinguicall" in await response.text()
        assert response.content_type == "text/html"
        assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["Referrer-Policy"] == "same-origin"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "unsafe-inline" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY


async def test_hashed_assets_are_kept_for_ever_and_sent_compressed(
    http: aiohttp.ClientSession,
) -> None:
    path = "/assets/index-abc123.js"
    async with http.get(path, headers={"Accept-Encoding": "gzip, br"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.content_type == "text/javascript"
        assert gzip.decompress(await response.read()).decode() == SCRIPT
        etag = response.headers["ETag"]
    async with http.get(path, headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers
        assert await response.text() == SCRIPT
    async with http.get(path, headers={"If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")


@pytest.mark.parametrize(
    ("accepts", "sent"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip;q=1.0, br;q=0.5", "br"),
        ("GZIP, BR", "br"),
        ("gzip, br;q=0", "gzip"),
        ("gzip, br; q=0.000", "gzip"),
        ("gzip, brotli", "gzip"),
        ("x-gzip, brx", None),
        ("*;q=0", None),
        ("", None),
    ],
)
async def test_the_best_encoding_that_a_browser_takes_is_sent(
    folder: Path, accepts: str, sent: str | None
) -> None:
    for suffix, data in ((".br", b"brotli"), (".gz", gzip.compress(SCRIPT.encode()))):
        (folder / "assets" / f"index-abc123.js{suffix}").write_bytes(data)
    path = "/assets/index-abc123.js"
    async for http in serve(folder):
        async with http.get(path, headers={"Accept-Encoding": accepts}) as response:
            assert response.headers.get("Content-Encoding") == sent
            assert response.headers["Vary"] == "Accept-Encoding"
            assert response.content_type == "text/javascript"
            assert ((await response.read()) == b"brotli") == (sent == "br")
            etag = response.headers["ETag"]
        for tag, status in ((etag, 304), (f'"other", W/{etag}', 304), ('"other"', 200)):
            headers = {"Accept-Encoding": accepts, "If-None-Match": tag}
            async with http.get(path, headers=headers) as response:
                assert response.status == status
        # What was kept in one encoding is no answer to who takes another.
        other = "identity" if sent else "br"
        headers = {"Accept-Encoding": other, "If-None-Match": etag}
        async with http.get(path, headers=headers) as response:
            assert response.status == 200
        async with http.get(path + ".br") as response:
            assert response.status == 404


def test_the_build_has_compressed_the_page() -> None:
    dist = Path(__file__).parents[3] / "web_client" / "dist"
    texts = [path for path in dist.rglob("*") if path.suffix in (".js", ".css", ".html")]
    assert len(texts) > 4
    for path in texts:
        brotli, gzipped = (path.with_name(path.name + suffix) for suffix in (".br", ".gz"))
        assert brotli.stat().st_size < gzipped.stat().st_size < path.stat().st_size
        assert gzip.decompress(gzipped.read_bytes()) == path.read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/link.txt",
        "/assets",
        "/assets/",
        "/assets/index-abc123.js/",
        "/assets/icon.png%00.txt",
        "/" + "a" * 5_000,
    ],
)
async def test_nothing_else_can_be_asked_for(http: aiohttp.ClientSession, path: str) -> None:
    # By hand: an HTTP client would tidy the path up before it asks.
    port = http._base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.0 400"))
    assert b"secret" not in answer


async def test_a_page_that_was_not_built_says_so(tmp_path: Path) -> None:
    async for http in serve(tmp_path / "absent"):
        async with http.get("/", headers={"Accept": "text/html"}) as response:
            assert response.status == 503
            assert "not been built" in await response.text()
