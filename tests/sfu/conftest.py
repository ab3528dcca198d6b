"""A fault that is only logged, as members are isolated from each other, fails a test that asks."""

import logging
from collections.abc import Iterator

import pytest


class Faults(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))


@pytest.fixture
def no_logged_fault(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unless the test looks at the log itself."""
    faults = Faults()
    logging.getLogger("sfu").addHandler(faults)
    yield
    logging.getLogger("sfu").removeHandler(faults)
    if "caplog" not in request.fixturenames:
        assert faults.found == []
