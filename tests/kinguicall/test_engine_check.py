"""A module of other sources is refused in one line."""

import sys

import pytest
from typer.testing import CliRunner

import sfu
from kinguicall.cli import app
from kinguicall.engine_check import EngineMismatchError, check_engine
from sfu import _core


def test_the_module_of_this_build_is_accepted() -> None:
    check_engine()


@pytest.mark.parametrize("built_from", ["another interface", None])
def test_a_module_of_other_sources_is_refused(
    monkeypatch: pytest.MonkeyPatch, built_from: str | None
) -> None:
    if built_from is None:
        monkeypatch.delattr(_core, "INTERFACE")
    else:
        monkeypatch.setattr(_core, "INTERFACE", built_from)
    with pytest.raises(EngineMismatchError, match="older or newer"):
        check_engine()


def test_a_missing_module_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sfu._core", None)
    monkeypatch.delattr(sfu, "_core")
    commands = (["serve", "--dev"], ["loadtest", "meeting", "--api-secret", "x"])
    for command in commands:
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1
        last = result.output.splitlines()[-1]
        assert last.startswith("the engine cannot be loaded")
        assert last.endswith("run `make build`")
