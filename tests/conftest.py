"""Fixtures for every test folder. Browser tests share one network namespace: support.network."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import network
from tests.support.server import ROOT, Server, running_server

# How long an example takes says more about what else the machine does.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def private_network() -> None:
    """Skips without root. What a test starts afterwards can be reached at `network.ADDRESS`."""
    if (reason := network.why_unavailable()) is not None:
        pytest.skip(reason)
    network.enter()


@pytest.fixture(scope="module")
def module_server(
    private_network: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server for the tests of a module, as each start takes a second or more."""
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def server(module_server: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The real server, in the private network, with a room of the test's own.

    Its log is checked after the test; its end, as `Server.stop` says, after the module.
    """
    yield dataclasses.replace(module_server, room=request.node.name)
    module_server.check_log()


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Where screenshots and the like are kept after the run."""
    folder = ROOT / "artefacts"
    folder.mkdir(exist_ok=True)
    return folder
