"""The command as an operator meets it: a process, its output, its exit code."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import jwt
import pytest

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-more-than-thirty-two-bytes-for-tests"
MODULE = (sys.executable, "-m", "kinguicall")
SCRIPT = (str(Path(sys.executable).parent / "kinguicall"),)
# As in a packed program, which cannot start itself by its interpreter.
WITHOUT_INTERPRETER = (
    sys.executable,
    "-c",
    "import sys; sys.executable = '/nowhere'; from kinguicall.__main__ import main; main()",
)


def start(
    *arguments: str,
    keys: str | None = f"main:{SECRET}",
    command: tuple[str, ...] = MODULE,
    **extra: str,
) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KINGUICALL_")}
    if keys is not None:
        environment["KINGUICALL_API_KEYS"] = keys
    return subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env={**environment, **extra},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str, keys: str | None = f"main:{SECRET}") -> tuple[int, str, str]:
    """Exit code, output, errors of a command that ends by itself."""
    with start(*arguments, keys=keys) as process:
        output, errors = process.communicate(timeout=30)
    return process.returncode, output, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_where_the_page_is_and_stops_cleanly(number: signal.Signals) -> None:
    arguments = ("serve", "--dev", "--port=0", "--udp-port=0", "--tcp-port=0", "--bind=127.0.0.1")
    with start(*arguments, keys=None) as process:
        assert process.stdout is not None
        key, page = process.stdout.readline(), process.stdout.readline()
        assert key.startswith("API key for this run: devkey:")
        assert page.startswith("Kinguicall is at http://127.0.0.1:")
        with urllib.request.urlopen(page.split()[-1] + "healthz", timeout=5) as response:
            assert response.read() == b"OK"
        process.send_signal(number)
        output, errors = process.communicate(timeout=15)
    assert process.returncode == 0
    assert output == ""
    assert [json.loads(line)["event"] for line in errors.splitlines()] == [
        "serving",
        "stopping",
        "stopped",
    ]


@pytest.mark.parametrize(
    ("command", "given", "used"),
    [(SCRIPT, {}, "malloc"), (MODULE, {"PYTHONMALLOC": "pymalloc"}, "pymalloc")],
)
def test_serve_takes_the_systems_allocator_unless_told_otherwise(
    command: tuple[str, ...], given: dict[str, str], used: str
) -> None:
    arguments = ("serve", "--port=0", "--udp-port=0", "--tcp-port=0", "--bind=127.0.0.1")
    with start(*arguments, command=command, **given) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Kinguicall is at ")
        # What the process has been started with last.
        environment = Path(f"/proc/{process.pid}/environ").read_text().split("\0")
        process.terminate()
    settings = [entry for entry in environment if entry.startswith("PYTHONMALLOC=")]
    assert settings == [f"PYTHONMALLOC={used}"]
    assert process.returncode == 0


def test_serve_goes_on_where_it_cannot_start_itself_again() -> None:
    arguments = ("serve", "--port=0", "--udp-port=0", "--tcp-port=0", "--bind=127.0.0.1")
    with start(*arguments, command=WITHOUT_INTERPRETER) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Kinguicall is at ")
        process.terminate()
    assert process.returncode == 0


def test_serve_without_keys_refuses_and_explains() -> None:
    code, output, errors = run("serve", keys=None)
    assert (code, output) == (2, "")
    assert "KINGUICALL_API_KEYS" in errors
    assert "Traceback" not in errors


def test_redis_is_refused_by_a_build_without_it() -> None:
    code, _, errors = run("serve", "--redis-url", "redis://localhost:6379")
    assert code == 2
    assert "memory registry only" in errors


def test_a_short_secret_is_warned_about() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _, _, errors = run(
            "serve",
            f"--port={port}",
            "--udp-port=0",
            "--tcp-port=0",
            "--bind=127.0.0.1",
            keys="k:secret",
        )
    assert "'k' is shorter than 32 bytes" in errors


def test_a_taken_http_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, errors = run(
            "serve", f"--port={port}", "--udp-port=0", "--tcp-port=0", "--bind=127.0.0.1"
        )
    assert code == 1
    assert errors == f"cannot listen on 127.0.0.1 port {port}: Address already in use\n"


def test_a_taken_udp_port_is_one_clear_line() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        code, _, errors = run(
            "serve", "--port=0", f"--udp-port={port}", "--tcp-port=0", "--bind=127.0.0.1"
        )
    assert code == 1
    assert errors.startswith(f"cannot bind UDP 127.0.0.1:{port}: ")
    assert errors.count("\n") == 1


def test_a_taken_shared_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, errors = run(
            "serve", f"--port={port}", "--share-port", "--udp-port=0", "--tcp-port=0"
        )
    assert code == 1
    assert errors.startswith(f"cannot listen on TCP 127.0.0.1:{port}: ")
    assert errors.count("\n") == 1


def test_an_absent_certificate_is_one_clear_line() -> None:
    options = ("--tls-cert=absent.pem", "--tls-key=absent.pem", "--port=0", "--udp-port=0")
    code, _, errors = run("serve", *options, "--tcp-port=0")
    assert code == 1
    assert errors.startswith("cannot use absent.pem: ")
    assert errors.count("\n") == 1


def test_a_taken_tcp_port_for_media_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, errors = run(
            "serve", "--port=0", "--udp-port=0", f"--tcp-port={port}", "--bind=127.0.0.1"
        )
    assert code == 1
    assert errors.startswith(f"cannot listen on TCP 127.0.0.1:{port}: ")
    assert errors.count("\n") == 1


def test_an_unknown_host_is_one_clear_line() -> None:
    code, _, errors = run(
        "serve", "--host=256.0.0.1", "--udp-port=0", "--tcp-port=0", "--bind=127.0.0.1"
    )
    assert code == 1
    assert errors.startswith("cannot listen on 256.0.0.1 port 8080: ")
    assert errors.count("\n") == 1


def test_token_prints_a_token_for_a_room() -> None:
    code, output, _ = run(
        "token", "--room=demo", "--identity=me", "--name=Me", "--listen-only", "--ttl=60"
    )
    claims = jwt.decode(output.strip(), SECRET, ["HS256"])
    assert code == 0
    assert (claims["iss"], claims["sub"], claims["name"]) == ("main", "me", "Me")
    assert claims["video"]["room"] == "demo"
    assert claims["video"]["canPublish"] is False
    assert claims["exp"] - claims["nbf"] == 60


@pytest.mark.parametrize(
    "arguments",
    [("--room=demo", "--identity="), ("--room=", "--identity=me"), ("--room=demo",)],
)
def test_token_refuses_what_no_server_would_take(arguments: tuple[str, ...]) -> None:
    code, output, errors = run("token", *arguments)
    assert (code, output) == (2, "")
    assert errors


def test_token_needs_a_key() -> None:
    code, _, errors = run("token", "--room=demo", "--identity=me", keys=None)
    assert code == 2
    assert "KINGUICALL_API_KEYS" in errors
