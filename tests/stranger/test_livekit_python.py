"""The LiveKit Python SDK, unmodified: audio and video both ways, data packets both ways."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.server import Server

PEERS = Path(__file__).parent / "livekit_sdk_peers.py"


def test_two_sdk_participants_exchange_media_and_data(server: Server) -> None:
    tokens = [server.token(server.room, identity) for identity in ("alice", "bob")]
    run = subprocess.run(
        [sys.executable, PEERS, server.ws_url, *tokens],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    alice, bob = json.loads(run.stdout.splitlines()[-1])

    for received, other in ((alice, "bob"), (bob, "alice")):
        assert received["participants"] == [other]
        assert received["video_frames"] >= 100
        assert min(received["video_size"]) > 0
        assert received["audio_frames"] >= 200
        assert received["audio_peak"] > 1000
        # If a message is missing: what the server has dropped, and the SDK's words.
        dropped = {name: n for name, n in server.metrics().items() if "dropped" in name and n}
        assert sorted(received["data"]) == [f"{other}: lossy hello", f"{other}: reliable hello"], (
            f"{dropped}\n{run.stderr[-4000:]}"
        )
