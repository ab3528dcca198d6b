"""What strangers' connections cost the real server: memory and descriptors."""

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu import limits
from tests.support.server import Server, running_server

MB = 1_000_000
# Whatever a head's bytes are held as: lines, names and values, as bytes and as texts.
COPIES = 3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One that takes the tests' own address for a client's."""
    with running_server(tmp_path, "--trusted-proxy=192.0.2.1") as running:
        yield running


@contextlib.contextmanager
def connections(server: Server, opening: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Opens them and sends each as much of the opening as the server takes."""
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            peer = stack.enter_context(socket.create_connection((server.host, server.port), 5))
            peer.settimeout(2)
            with contextlib.suppress(OSError):
                peer.sendall(opening)
            opened.append(peer)
        yield opened


def head(lines: int, line_bytes: int) -> bytes:
    """A request's head, up to its last line's end."""
    names = (b"h%d: " % number for number in range(lines))
    headers = b"".join(name + b"x" * line_bytes + b"\r\n" for name in names)
    return b"POST /api/conferences HTTP/1.1\r\nHost: a\r\nContent-Length: 15000\r\n" + headers


@pytest.mark.parametrize(
    ("opening", "count", "limit_bytes"),
    [
        # Lines within all limits of a line, of which there never come too many.
        (head(limits.HTTP_HEADERS_MAX - 4, 2_400), 600, COPIES * limits.HTTP_HEADS_BYTES_MAX),
        # The same, complete, for a body that does not come.
        (
            head(limits.HTTP_HEADERS_MAX - 4, 2_400) + b"\r\n{",
            600,
            COPIES * limits.HTTP_HEADS_BYTES_MAX,
        ),
        (head(100, 100_000), 40, 40 * MB),
        (b"x" * 4 * MB, 40, 40 * MB),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 5_000, 40, 40 * MB),
        (b"", 1_000, 40 * MB),
    ],
    ids=["unfinished", "no body", "long lines", "one line", "pipelined", "silent"],
)
def test_memory_of_connections_without_a_token(
    server: Server, opening: bytes, count: int, limit_bytes: int
) -> None:
    before = server.resident_bytes()
    with connections(server, opening, count):
        assert server.get("/healthz") == (200, "OK")
        assert server.resident_bytes() - before < limit_bytes


def test_descriptors_that_have_run_out_show_and_come_back(server: Server) -> None:
    """Idle connections give theirs up, so that people can come in and the operator can look."""
    pid = server.process.pid
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 40, used + 40))
    with connections(server, b"", 200):
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                ended = server.metrics()
                break
            assert time.monotonic() < deadline, "nobody comes in any more"
    assert ended['kinguicall_connections_ended_total{reason="descriptors"}'] >= 1
    assert server.log.count("cannot accept connections: Too many open files") == 1
