"""What a crowd needed is given back after it has left: the process as the system sees it."""

import time
from pathlib import Path

from typer.testing import CliRunner

from kinguicall.cli import app
from tests.support.server import API_KEY, API_SECRET, Server, running_server

LISTENERS = 120
LEFT_BYTES = 60_000
"""Of the 95,000 for each that the first crowd takes: 40,000 were seen, half of them for code and
tables that are used for the first time."""
GROWTH_BYTES = 2_000_000
RELEASED_AFTER_S = 20
"""It takes five to ten: the second look after they have left, and a busy machine."""
SCENARIO = f"""
title = "A crowd that comes and goes"
seconds = 1.0
settle_s = 0.5
[media.camera]
codec = "vp8"
fps = 5
layers = [{{ width = 160, height = 90, bitrate_bps = 30_000 }}]
[media.microphone]
codec = "opus"
[[group]]
name = "speaker"
count = 1
publish = ["camera", "microphone"]
subscribe = false
[[group]]
name = "audience"
count = {LISTENERS}
join_per_s = 50.0
"""


def crowd(server: Server, scenario: Path) -> int:
    """All come, and all leave. Returns the memory of the process right after that."""
    options = ("--url", server.ws_url, "--api-key", API_KEY, "--api-secret", API_SECRET)
    result = CliRunner().invoke(app, ["loadtest", str(scenario), *options])
    assert result.exit_code == 0, result.output
    return server.resident_bytes()


def wait_for(server: Server, bound: int) -> int:
    """Until the process has given back all but so many bytes."""
    deadline = time.monotonic() + RELEASED_AFTER_S
    while (resident := server.resident_bytes()) > bound:
        assert time.monotonic() < deadline, f"{resident:,} bytes, {bound:,} at most expected"
        time.sleep(0.1)
    return resident


def test_memory_goes_back(tmp_path: Path) -> None:
    scenario = tmp_path / "crowd.toml"
    scenario.write_text(SCENARIO)
    with running_server(tmp_path, "--bind=127.0.0.1") as server:
        start = wait_until_steady(server)
        peak = crowd(server, scenario)
        bound = start + LEFT_BYTES * LISTENERS
        assert peak > bound, "nothing to give back"
        first = wait_for(server, bound)
        # The second time nothing is done for the first time.
        peak = crowd(server, scenario)
        bound = first + GROWTH_BYTES
        assert peak > bound, "nothing to give back"
        wait_for(server, bound)


def wait_until_steady(server: Server) -> int:
    """After the start, some memory goes back, too."""
    before, resident = 0, server.resident_bytes()
    while resident != before:
        time.sleep(0.5)
        before, resident = resident, server.resident_bytes()
    return resident
