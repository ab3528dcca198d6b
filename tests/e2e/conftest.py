"""A link of its own for one client, and a server that it reaches over that link."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import network
from tests.support.network import Link
from tests.support.server import Server, running_server


@pytest.fixture
def link(private_network: None) -> Iterator[Link]:
    with network.behind_a_link() as made:
        yield made


@pytest.fixture
def linked_server(link: Link, tmp_path: Path) -> Iterator[Server]:
    options = ("--host=0.0.0.0", f"--bind={network.LINK_ADDRESS}")
    with running_server(tmp_path, *options) as running:
        yield running
