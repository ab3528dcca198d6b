"""Fixtures for every test folder. Browser tests share one network namespace: support.network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import network
from tests.support.server import ROOT, Server, running_server


@pytest.fixture(scope="session")
def private_network() -> None:
    """Skips without root. What a test starts afterwards can be reached at `network.ADDRESS`."""
    if (reason := network.why_unavailable()) is not None:
        pytest.skip(reason)
    network.enter()


@pytest.fixture
def server(private_network: None, tmp_path: Path) -> Iterator[Server]:
    """The real server, in the private network; its end is checked as `Server.stop` says."""
    with running_server(tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Where screenshots and the like are kept after the run."""
    folder = ROOT / "artefacts"
    folder.mkdir(exist_ok=True)
    return folder
