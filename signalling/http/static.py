"""The web client: its built files, held in memory, compressed by the build (or here, by gzip only).

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
_SUFFIXES = {"br": ".br", "gzip": ".gz"}
"""Of what the build has compressed, by encoding, the better one first."""
_ACCEPT_LENGTH_MAX = 256  # a browser's list has thirty characters
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
    """`bodies` by encoding, the smallest first; "identity" is always there."""

    bodies: dict[str, bytes]
    content_type: str
    digest: str
    headers: dict[str, str]

    def etag(self, encoding: str) -> str:
        """Each encoding is a representation of its own (RFC 9110, section 8.8.3.3)."""
        suffix = "" if encoding == "identity" else f"-{encoding}"
        return f'"{self.digest}{suffix}"'


class WebClient:
    """Serves a folder of built files; `index.html` is the page."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            "/" + path.relative_to(folder).as_posix(): _load(path, folder)
            for path in sorted(folder.rglob("*"))
            if path.suffix not in _SUFFIXES.values() and _is_served(path)
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
        taken = _accepted(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        encoding = next(one for one in file.bodies if one == "identity" or one in taken)
        headers: dict[str, str] = {
            hdrs.VARY: "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
            hdrs.ETAG: file.etag(encoding),
            **file.headers,
        }
        known = request.headers.get(hdrs.IF_NONE_MATCH, "")[:_ACCEPT_LENGTH_MAX]
        if file.etag(encoding) in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return web.Response(status=304, headers=headers)
        if encoding != "identity":
            headers[hdrs.CONTENT_ENCODING] = encoding
        body = file.bodies[encoding]
        response = web.Response(body=body, headers=headers, content_type=file.content_type)
        if file.content_type.startswith("text/"):
            response.charset = "utf-8"
        return response


def _accepted(header: str) -> set[str]:
    """The encodings that a client takes (RFC 9110, section 12.5.3)."""
    accepted = set()
    for item in header[:_ACCEPT_LENGTH_MAX].lower().split(","):
        name, _, weight = item.partition(";")
        if weight.replace(" ", "").strip("0.") != "q=":
            accepted.add(name.strip())
    return accepted


def _is_served(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size <= WEB_FILE_BYTES_MAX


def _load(path: Path, folder: Path) -> _File:
    headers = _FILE_HEADERS
    if path.name == "index.html":
        headers = _PAGE_HEADERS
    elif path.relative_to(folder).parts[0] == "assets":
        headers = _ASSET_HEADERS
    guessed = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    body = path.read_bytes()
    return _File(
        bodies=_bodies(path, body),
        content_type=guessed or "application/octet-stream",
        digest=hashlib.sha256(body).hexdigest()[:32],
        headers=headers,
    )


def _bodies(path: Path, body: bytes) -> dict[str, bytes]:
    bodies = {}
    if path.suffix in _COMPRESSED:
        for encoding, suffix in _SUFFIXES.items():
            compressed = path.with_name(path.name + suffix)
            if _is_served(compressed):
                bodies[encoding] = compressed.read_bytes()
        if "gzip" not in bodies:
            bodies["gzip"] = gzip.compress(body, 9, mtime=0)
    bodies = {encoding: data for encoding, data in bodies.items() if len(data) < len(body)}
    return {**bodies, "identity": body}
