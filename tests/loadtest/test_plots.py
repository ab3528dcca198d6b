"""The page of plots."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from loadtest import plots
from loadtest.errors import LoadTestError
from tests.loadtest.figures import figures

PNG = b"\x89PNG\r\n"


@pytest.mark.parametrize("measured", [True, False])
def test_a_page_is_drawn_with_and_without_the_servers_figures(
    tmp_path: Path, measured: bool
) -> None:
    run = figures(5, 10)
    if not measured:
        run["timeline"]["server_cpu_cores"] = [None] * len(run["timeline"]["at_s"])
    path = plots.write(tmp_path, run)
    assert path.read_bytes().startswith(PNG)


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *others: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name=name)
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(LoadTestError, match="--group loadtest"):
        plots.write(tmp_path, figures(5, 10))
