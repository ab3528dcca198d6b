"""Scenarios: who joins how fast, what they send and what they look at. TOML into checked values.

A file has `[media.NAME]` tables with what can be published, and `[[group]]` tables with the
participants. `scaled = true` marks the groups whose size `--participants` sets.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from loadtest.errors import ScenarioError

FOLDER = Path(__file__).parent / "scenarios"
_RIDS = ("q", "h", "f")


@dataclass(frozen=True, slots=True)
class VideoLayer:
    """One encoding. Sizes in pixels."""

    width: int
    height: int
    bitrate_bps: int


@dataclass(frozen=True, slots=True)
class Media:
    """Something to publish. Video has one to three `layers`, lowest first; audio has none."""

    name: str
    codec: Literal["opus", "vp8", "h264"]
    source: Literal["camera", "microphone", "screen_share"]
    layers: tuple[VideoLayer, ...] = ()
    fps: int = 25
    bitrate_bps: int = 32_000
    frame_ms: int = 20
    talk_share: float = 1.0
    """Share of the time in which there is speech."""

    @property
    def is_video(self) -> bool:
        return self.codec != "opus"

    @property
    def rids(self) -> tuple[str, ...]:
        """Names of the simulcast layers; none for a single encoding."""
        return _RIDS[: len(self.layers)] if len(self.layers) > 1 else ()


@dataclass(frozen=True, slots=True)
class Link:
    """A simulated last mile of what a participant receives."""

    loss: float = 0.0
    rate_bps: int | None = None
    queue_ms: int = 300
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """A grid that changes: `shown` videos, of which the first is large, every `every_s` seconds."""

    every_s: float
    shown: int


@dataclass(frozen=True, slots=True)
class Group:
    """Participants that behave alike. `stay_s` makes them leave and others come in their place."""

    name: str
    count: int
    join_per_s: float = 20.0
    publish: tuple[str, ...] = ()
    subscribe: bool = True
    scaled: bool = False
    stay_s: float | None = None
    link: Link | None = None
    layout: Layout | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole scenario. `seconds` is measured after everybody has joined and `settle_s` passed."""

    name: str
    title: str
    seconds: float
    media: Mapping[str, Media]
    groups: tuple[Group, ...]
    settle_s: float = 3.0

    @property
    def participants(self) -> int:
        return sum(group.count for group in self.groups)

    def scaled_to(self, participants: int | None, seconds: float | None) -> Self:
        """The same with other numbers. `participants` is the size of each scaled group."""
        groups = self.groups
        if participants is not None:
            if not any(group.scaled for group in groups):
                raise ScenarioError(f"{self.name}: no group of this scenario can be scaled")
            groups = tuple(
                dataclasses.replace(g, count=participants) if g.scaled else g for g in groups
            )
        return dataclasses.replace(self, groups=groups, seconds=seconds or self.seconds)


def names() -> list[str]:
    """The scenarios that come with the program."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> Scenario:
    """Reads a scenario by its name or its file. Raises ScenarioError."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        known = ", ".join(names())
        raise ScenarioError(f"{path}: {error.strerror}; there are: {known}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: {error}") from None
    return read(path.stem, values)


def read(name: str, values: Mapping[str, Any]) -> Scenario:
    """Checks what a file says. Raises ScenarioError."""
    try:
        rest = dict(values)
        media = {key: _media(key, table) for key, table in rest.pop("media", {}).items()}
        groups = tuple(_group(table, media) for table in rest.pop("group", []))
        scenario = Scenario(name=name, media=media, groups=groups, **rest)
        _check(bool(scenario.groups), "a scenario needs a [[group]]")
        _check(scenario.seconds > 0 and scenario.settle_s >= 0, "seconds have to be positive")
    except (TypeError, ValueError, AttributeError) as error:
        raise ScenarioError(f"{name}: {error}") from None
    return scenario


def _media(name: str, table: Mapping[str, Any]) -> Media:
    rest = dict(table)
    layers = tuple(VideoLayer(**layer) for layer in rest.pop("layers", []))
    source = rest.pop("source", "microphone" if rest.get("codec") == "opus" else "camera")
    media = Media(name=name, source=source, layers=layers, **rest)
    where = f"media.{name}"
    _check(media.codec in ("opus", "vp8", "h264"), f"{where}: codec is opus, vp8 or h264")
    _check(media.source in ("camera", "microphone", "screen_share"), f"{where}: unknown source")
    wanted = 1 <= len(layers) <= len(_RIDS) if media.is_video else not layers
    _check(wanted, f"{where}: video has one to three layers, audio none")
    _check(media.frame_ms in (10, 20, 40, 60), f"{where}: frame_ms is 10, 20, 40 or 60")
    _check(1 <= media.fps <= 60, f"{where}: fps is 1 to 60")
    _check(0 < media.talk_share <= 1, f"{where}: talk_share is above 0, up to 1")
    rates = (media.bitrate_bps, *(layer.bitrate_bps for layer in layers))
    _check(min(rates) > 0, f"{where}: bitrates have to be positive")
    sizes = [size for layer in layers for size in (layer.width, layer.height)]
    _check(all(16 <= s <= 4096 and s % 2 == 0 for s in sizes), f"{where}: sizes are even pixels")
    return media


def _group(table: Mapping[str, Any], media: Mapping[str, Media]) -> Group:
    rest = dict(table)
    link = Link(**rest.pop("link")) if "link" in rest else None
    layout = Layout(**rest.pop("layout")) if "layout" in rest else None
    group = Group(publish=tuple(rest.pop("publish", ())), link=link, layout=layout, **rest)
    where = f"group {group.name}"
    for name in group.publish:
        _check(name in media, f"{where}: there is no [media.{name}]")
    _check(0 <= group.count <= 100_000, f"{where}: count is 0 to 100000")
    _check(group.join_per_s > 0, f"{where}: join_per_s has to be positive")
    _check(group.stay_s is None or group.stay_s > 0, f"{where}: stay_s has to be positive")
    _check(group.subscribe or bool(group.publish), f"{where}: would do nothing")
    if link is not None:
        _check(0 <= link.loss <= 1, f"{where}: loss is 0 to 1")
        _check(link.rate_bps is None or link.rate_bps > 0, f"{where}: rate_bps must be positive")
    if layout is not None:
        _check(layout.every_s > 0 and layout.shown > 0, f"{where}: layout has to be positive")
    return group


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
