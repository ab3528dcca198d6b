"""Scenario files: what comes with the program can be run, and mistakes are named."""

from pathlib import Path

import pytest

from loadtest import scenario
from loadtest.errors import ScenarioError

VIDEO = {"codec": "vp8", "layers": [{"width": 320, "height": 180, "bitrate_bps": 100_000}]}
GROUP = {"name": "all", "count": 2, "publish": ["camera"]}


def values(**changes: object) -> dict[str, object]:
    media, group = {"camera": VIDEO}, [GROUP]
    return {"title": "T", "seconds": 1.0, "media": media, "group": group, **changes}


@pytest.mark.parametrize("name", scenario.names())
def test_the_scenarios_that_come_along_can_be_read(name: str) -> None:
    read = scenario.load(name)
    assert read.title
    assert read.participants > 1


def test_a_scenario_is_scaled_where_it_says_so() -> None:
    audience = scenario.load("audience")
    bigger = audience.scaled_to(700, 5.0)
    assert (bigger.participants, bigger.seconds) == (701, 5.0)
    assert audience.scaled_to(None, None) == audience
    with pytest.raises(ScenarioError, match="no group"):
        scenario.read("own", values()).scaled_to(5, None)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"group": []}, r"needs a \[\[group\]\]"),
        ({"seconds": 0.0}, "positive"),
        ({"colour": 1}, "colour"),
        ({"group": [{**GROUP, "publish": ["tuba"]}]}, "tuba"),
        ({"group": [{**GROUP, "link": {"loss": 2}}]}, "loss is 0 to 1"),
        ({"group": [{"name": "idle", "count": 1, "subscribe": False}]}, "do nothing"),
        ({"media": {"camera": {**VIDEO, "codec": "mpeg"}}}, "opus, vp8 or h264"),
        ({"media": {"camera": {"codec": "vp8"}}}, "one to three layers"),
        ({"media": {"camera": 7}}, "media|int"),
    ],
)
def test_mistakes_are_named(wrong: dict[str, object], reason: str) -> None:
    with pytest.raises(ScenarioError, match=reason):
        scenario.read("own", values(**wrong))


def test_a_file_that_is_not_there_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="audience"):
        scenario.load("no-such-scenario")
    file = tmp_path / "own.toml"
    file.write_text("title = ")
    with pytest.raises(ScenarioError, match=r"own\.toml"):
        scenario.load(str(file))
