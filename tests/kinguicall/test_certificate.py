"""A certificate is renewed while the server runs, and a broken one changes nothing."""

import json
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509

from tests.kinguicall.test_cli import start
from tests.support.certificates import write_certificate

KEY_BEGINS = b"-----BEGIN PRIVATE KEY"


class Https:
    """A server with a certificate."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        page = urlsplit(process.stdout.readline().split()[-1])
        assert page.scheme == "https"
        assert page.port is not None
        self._process, self._port = process, page.port
        assert self._next_event() == "serving"

    @property
    def serial(self) -> int:
        """Of the certificate that a new connection meets."""
        pem = ssl.get_server_certificate(("127.0.0.1", self._port), timeout=5)
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    def hang_up(self) -> str:
        """Sends SIGHUP; returns what the log says of it."""
        self._process.send_signal(signal.SIGHUP)
        return self._next_event()

    def _next_event(self) -> str:
        assert self._process.stderr is not None
        event: str = json.loads(self._process.stderr.readline())["event"]
        return event


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "both.pem"
    write_certificate(file, serial=1)
    return file


@pytest.fixture
def server(file: Path) -> Iterator[Https]:
    options = ("--port=0", "--udp-port=0", "--tcp-port=0", "--bind=127.0.0.1")
    with start("serve", *options, f"--tls-cert={file}", f"--tls-key={file}") as process:
        yield Https(process)
        process.terminate()
        _, errors = process.communicate(timeout=15)
    assert process.returncode == 0, errors


def test_a_renewed_certificate_is_taken_at_sighup(server: Https, file: Path) -> None:
    assert server.serial == 1
    write_certificate(file, serial=2)
    assert server.serial == 1, "not by itself"
    assert server.hang_up() == "certificate read again"
    assert server.serial == 2


def test_files_that_cannot_be_used_change_nothing(server: Https, file: Path) -> None:
    own_key = KEY_BEGINS + file.read_bytes().partition(KEY_BEGINS)[2]
    write_certificate(file, serial=2)
    certificate = file.read_bytes().partition(KEY_BEGINS)[0]
    for broken in (b"", b"rubbish", certificate, certificate + own_key):
        file.write_bytes(broken)
        assert server.hang_up().startswith(f"the old certificate stays in force: cannot use {file}")
        assert server.serial == 1
    file.unlink()
    assert server.hang_up().startswith("the old certificate stays in force")
    write_certificate(file, serial=3)
    assert server.hang_up() == "certificate read again"
    assert server.serial == 3
