"""Twenty lives of the server: each ends with exit code 0 and gives its ports back."""

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.server import running_server

LIVES = 20


@pytest.mark.timeout(180)  # starting takes seconds on a busy machine
def test_twenty_starts_and_stops(tmp_path: Path) -> None:
    """Two at a time, as much of a start is waiting."""
    folders = [tmp_path / str(number) for number in range(LIVES)]
    with ThreadPoolExecutor(2) as lives:
        assert len(list(lives.map(live, folders))) == LIVES


def live(folder: Path) -> None:
    folder.mkdir()
    with running_server(folder) as server:
        threads = list(Path(f"/proc/{server.process.pid}/task").iterdir())
        assert len(threads) > 1, "no media thread"
    assert not Path(f"/proc/{server.process.pid}").exists()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.bind(("0.0.0.0", server.udp_port))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as http:
        http.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        http.bind(("127.0.0.1", server.port))
