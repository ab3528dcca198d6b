"""The stub is what type checkers and readers believe, so it must agree with the module."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy.stubtest")


def test_the_stub_agrees_with_the_native_module() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "sfu._core"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
