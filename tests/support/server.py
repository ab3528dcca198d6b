"""The real server as a process: `kinguicall serve`, started on free ports and stopped by SIGTERM.

Whatever a test does to the server, stopping it checks what must always hold: exit code 0 and a log
without a traceback, a panic or a line of level error.
"""

import contextlib
import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jwt

ROOT = Path(__file__).parent.parent.parent
COMMAND = Path(sys.executable).parent / "kinguicall"
API_KEY = "devkey"
API_SECRET = "a-secret-that-is-long-enough-for-hs256"  # the tests' own server only
START_TIMEOUT_S = 40
STOP_TIMEOUT_S = 10
BAD_LOG = re.compile(
    r"Traceback \(most recent call last\)|panicked at|\[error |\"level\": ?\"error\""
)


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
        return port


def free_tcp_port() -> int:
    return free_port(socket.SOCK_STREAM)


@dataclass
class Server:
    """A running server. `log` is its combined output."""

    port: int
    udp_port: int
    tcp_port: int
    log_file: Path
    process: subprocess.Popen[bytes] = field(repr=False)
    host: str = "127.0.0.1"
    room: str = "strangers"
    """Where a test's people meet."""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{self.host}:{self.port}"

    def at(self, host: str) -> "Server":
        """The same server under another of its addresses."""
        return dataclasses.replace(self, host=host)

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def token(self, room: str, identity: str, **grants: object) -> str:
        """A token to join `room`, with LiveKit's claims; `grants` go into its `video` grant."""
        video = {"roomJoin": True, "room": room, **grants}
        claims = {
            "iss": API_KEY,
            "sub": identity,
            "name": identity.title(),
            "exp": int(time.time()) + 600,
            "video": video,
        }
        return jwt.encode(claims, API_SECRET, algorithm="HS256")

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Samples of /metrics by their name with labels, as the text format writes them."""
        _, text = self.get("/metrics")
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def resident_bytes(self) -> int:
        """Memory of the server's process (`/proc/<pid>/statm`, in pages)."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def is_running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """SIGTERM, then everything that must hold at the end of a server's life."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"still there {STOP_TIMEOUT_S} s after SIGTERM:\n{self.log}"
            ) from None
        assert code == 0, f"exit code {code}:\n{self.log[-4000:]}"
        self.check_log()

    def check_log(self) -> None:
        """No traceback, no panic, no line of level error so far."""
        bad = BAD_LOG.search(self.log)
        assert bad is None, f"{bad.group()!r} in the log:\n{self.log[bad.start() :][:4000]}"


@contextlib.contextmanager
def running_server(folder: Path, *options: str, **environment: str) -> Iterator[Server]:
    """Starts the server, waits until it is healthy; stops it, with the checks of `Server.stop`."""
    port, udp_port = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
    log_file = folder / "server.log"
    # On, as it is by default, so that every client meets its candidates.
    tcp_port = free_tcp_port()
    ports = [f"--port={port}", f"--udp-port={udp_port}", f"--tcp-port={tcp_port}"]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [COMMAND, "serve", "--dev", *ports, *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={
                **os.environ,
                "KINGUICALL_API_KEYS": f"{API_KEY}:{API_SECRET}",
                "PYTHONUNBUFFERED": "1",
                **environment,
            },
        )
    server = Server(port, udp_port, tcp_port, log_file, process)
    try:
        _wait_until_healthy(server)
        yield server
    except BaseException:
        process.kill()
        process.wait()
        sys.stderr.write(f"--- end of the server's log\n{server.log[-6000:]}\n---\n")
        raise
    server.stop()


def _wait_until_healthy(server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert server.is_running(), f"the server ended:\n{server.log}"
        with contextlib.suppress(OSError):
            if server.get("/healthz")[0] == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"not healthy after {START_TIMEOUT_S} s:\n{server.log}")
