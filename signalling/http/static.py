"""The web client: its built files, held in memory and compressed once.

Only files that were there at the start can be asked for, by exact path, so no path can lead out of
the folder. Built assets have their content's hash in their names and never change; the page itself
is revalidated each time.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from aiohttp import hdrs, web

from sfu.limits import WEB_FILE_BYTES_MAX

_COMPRESSED = frozenset({".html", ".js", ".css", ".svg", ".json", ".webmanifest", ".txt", ".map"})
_TYPES = {
    ".js": "text/javascript",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "media-src 'self' blob: mediastream:",
        "manifest-src 'self'",
        "worker-src 'self' blob:",
        # Old browsers do not count a WebSocket to the same host as 'self'.
        "connect-src 'self' ws: wss:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
_PAGE_HEADERS: dict[str, str] = {
    hdrs.CACHE_CONTROL: "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
    # The link is the key to a conference: other sites must not learn it.
    "Referrer-Policy": "same-origin",
}
_ASSET_HEADERS: dict[str, str] = {hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable"}
# Their names stay when they change: the manifest, icons, the service worker.
_FILE_HEADERS: dict[str, str] = {hdrs.CACHE_CONTROL: "no-cache"}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    compressed: bytes | None
    content_type: str
    etag: str
    headers: dict[str, str]


class WebClient:
    """Serves a folder of built files; `index.html` is the page."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            "/" + path.relative_to(folder).as_posix(): _load(path, folder)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
            and not path.is_symlink()
            and path.stat().st_size <= WEB_FILE_BYTES_MAX
        }

    @property
    def built(self) -> bool:
        """The page is there."""
        return "/index.html" in self._files

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page, whatever conference the path names."""
        if not self.built:
            return web.Response(
                status=503, text="The web client has not been built; see README.md.\n"
            )
        return self._send(request, self._files["/index.html"])

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file by its exact path."""
        file = self._files.get(request.path)
        if file is None:
            raise web.HTTPNotFound
        return self._send(request, file)

    def _send(self, request: web.Request, file: _File) -> web.StreamResponse:
        headers: dict[str, str] = {
            hdrs.VARY: "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
            hdrs.ETAG: file.etag,
            **file.headers,
        }
        if request.headers.get(hdrs.IF_NONE_MATCH) == file.etag:
            return web.Response(status=304, headers=headers)
        body = file.body
        if file.compressed and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            headers[hdrs.CONTENT_ENCODING] = "gzip"
            body = file.compressed
        response = web.Response(body=body, headers=headers, content_type=file.content_type)
        if file.content_type.startswith("text/"):
            response.charset = "utf-8"
        return response


def _load(path: Path, folder: Path) -> _File:
    body = path.read_bytes()
    compressed = None
    if path.suffix in _COMPRESSED:
        compressed = gzip.compress(body, 9, mtime=0)
        compressed = compressed if len(compressed) < len(body) else None
    headers = _FILE_HEADERS
    if path.name == "index.html":
        headers = _PAGE_HEADERS
    elif path.relative_to(folder).parts[0] == "assets":
        headers = _ASSET_HEADERS
    guessed = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return _File(
        body=body,
        compressed=compressed,
        content_type=guessed or "application/octet-stream",
        etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        headers=headers,
    )
