"""The command against the real server: what it measures, and what it says when it cannot."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kinguicall.cli import app
from tests.support.server import API_KEY, API_SECRET, Server, running_server

SECRET = "--api-secret=none-of-the-secrets-of-any-server"
SCENARIO = """
title = "A small audience"
seconds = 2.0
settle_s = 1.0
[media.camera]
codec = "vp8"
fps = 15
layers = [{ width = 160, height = 90, bitrate_bps = 150_000 }]
[media.microphone]
codec = "opus"
[[group]]
name = "speaker"
count = 1
publish = ["camera", "microphone"]
subscribe = false
[[group]]
name = "audience"
count = 5
join_per_s = 50.0
"""


@pytest.fixture(scope="module")
def local_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server"), "--bind=127.0.0.1") as server:
        yield server


def loadtest(*arguments: object) -> tuple[int, str]:
    result: Any = CliRunner().invoke(app, ["loadtest", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_a_small_audience_gets_everything(local_server: Server, tmp_path: Path) -> None:
    scenario = tmp_path / "small.toml"
    scenario.write_text(SCENARIO)
    code, output = loadtest(
        scenario,
        f"--url={local_server.ws_url}",
        f"--api-key={API_KEY}",
        f"--api-secret={API_SECRET}",
        f"--report={tmp_path / 'report'}",
    )
    assert code == 0, output
    assert API_SECRET not in output
    figures = json.loads((tmp_path / "report" / "small.json").read_text())
    assert figures["join"]["started"] == 6
    assert figures["join"]["failed"] == figures["join"]["without_media"] == 0
    assert figures["join"]["first_packet_ms"]["max"] < 5_000
    assert figures["audio"]["streams"] == figures["video"]["streams"] == 5
    for kind in ("audio", "video"):
        assert figures[kind]["lost_after_repair"] < 0.01
        assert 0 < figures[kind]["latency_ms"]["p50"] < 100
    # 50 packets of audio a second and at least 15 of video, for each of five.
    assert figures["traffic"]["packets_received_per_s"] > 0.9 * 5 * 65
    assert figures["video"]["frames"] > 0.8 * 5 * 15 * figures["seconds"]
    assert figures["server_load"]["cpu_us_per_packet"] > 0
    assert "Video latency" in (tmp_path / "report" / "small.md").read_text()


def test_a_wrong_key_is_said_without_the_secret(local_server: Server) -> None:
    secret = "some-other-secret-that-nobody-should-see"
    code, output = loadtest(
        "audience", f"--url={local_server.ws_url}", f"--api-key={API_KEY}", f"--api-secret={secret}"
    )
    assert code == 1
    assert "--api-key" in output
    assert "401" in output
    assert secret not in output


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("audience", "--url=ws://127.0.0.1:9", SECRET), 1, "no server at"),
        (("audience", "--url=nowhere", SECRET), 1, "ws://host:port"),
        (("no-such-scenario", SECRET), 1, "audience"),
        (("audience", "--pid=4194305", SECRET, "--url=ws://127.0.0.1:9"), 1, "no server"),
        (("audience",), 2, "--api-secret"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(
    arguments: tuple[str, ...], code: int, text: str
) -> None:
    got, output = loadtest(*arguments)
    assert got == code
    assert text in output
    assert "Traceback" not in output
