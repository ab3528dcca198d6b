"""Log records as machines and as people at a terminal read them."""

import json
import logging
import subprocess
import sys

import pytest
import structlog

from kinguicall import logs


@pytest.fixture(autouse=True)
def _restore() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_records_of_libraries_and_of_ours_are_json_objects(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info")
    logging.getLogger("library").warning("lost %d", 3)
    logging.getLogger("library").info("serving", extra={"udp_ports": [7882]})
    structlog.get_logger("ours").info("joined", room="RM_x")
    logging.getLogger("library").debug("hidden")

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    assert [(line["event"], line["level"]) for line in lines] == [
        ("lost 3", "warning"),
        ("serving", "info"),
        ("joined", "info"),
    ]
    assert lines[1]["udp_ports"] == [7882]
    assert lines[2]["room"] == "RM_x"
    assert all(line["timestamp"].endswith("Z") for line in lines)


def test_a_traceback_stays_inside_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("library").exception("failed")

    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: broken" in json.loads(line)["exception"]


AT_A_TERMINAL = """
import logging, sys
sys.stderr.isatty = lambda: True
from kinguicall import logs
logs.configure("info")
participant = "Ada Lovelace"
try:
    raise ValueError("broken")
except ValueError:
    logging.getLogger("library").exception("failed")
"""


def test_a_traceback_at_a_terminal_shows_no_names_of_people() -> None:
    command = [sys.executable, "-c", AT_A_TERMINAL]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "ValueError: broken" in shown
    assert "Lovelace" not in shown
