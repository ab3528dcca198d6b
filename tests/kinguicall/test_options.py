"""Command line, environment, file and manual offer the same options."""

from pathlib import Path

import pytest
import typer.main

from kinguicall import cli, options
from kinguicall.config import ConfigError, Settings, read

MANUAL = Path(__file__).parents[2] / "docs" / "operations.md"
NAMES = {entry.name for entry in options.table()}


def test_the_manual_has_the_table_of_the_program() -> None:
    """`python -m kinguicall.options` prints it."""
    assert options.manual() in MANUAL.read_text()


def test_all_of_them_are_settings_and_all_but_secrets_are_flags() -> None:
    serve = typer.main.get_command(cli.app).commands["serve"]  # type: ignore[attr-defined]
    flags = {parameter.name for parameter in serve.params}
    assert set(Settings.model_fields) == NAMES
    assert flags - {"config", "help"} == NAMES - {"api_keys"}


def test_the_help_says_every_default() -> None:
    serve = typer.main.get_command(cli.app).commands["serve"]  # type: ignore[attr-defined]
    shown = {parameter.name: parameter.help for parameter in serve.params}
    assert shown["udp_port"] == "First UDP port for media. Default: 7882."
    assert shown["dscp"] == "Mark packets for networks that look at it."


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KINGUICALL_UDPPORT", "KINGUICALL_UDP_PORT"),
        ("KINGUICALL_API_KEY", "KINGUICALL_API_KEYS"),
        ("KINGUICALL_PUBLIC_IPS", "KINGUICALL_PUBLIC_IP"),
        ("KINGUICALL_TRUSTED_PROXIES", "KINGUICALL_TRUSTED_PROXY"),
    ],
)
def test_a_mistyped_variable_is_refused_with_what_was_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError) as caught:
        read({})
    assert str(caught.value) == f"{name}: there is no such option; did you mean {meant}?"


def test_others_variables_are_others_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINGUICALL_CONFIG", "nowhere.toml")
    monkeypatch.setenv("KINGUI_PORT", "1")
    read({})


def test_a_mistyped_name_in_the_file_is_refused_with_what_was_meant(tmp_path: Path) -> None:
    file = tmp_path / "kinguicall.toml"
    file.write_text("udp_prot = 1\n")
    with pytest.raises(ConfigError) as caught:
        read({}, file)
    assert str(caught.value) == "udp_prot: there is no such option; did you mean udp_port?"


def test_proxies_are_addresses_or_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read({}).trusted_proxy == ("127.0.0.0/8", "::1/128")
    assert read({"trusted_proxy": ("10.1.2.3/8", "fd00::1")}).trusted_proxy == (
        "10.0.0.0/8",
        "fd00::1/128",
    )
    monkeypatch.setenv("KINGUICALL_TRUSTED_PROXY", "192.0.2.1, 10.0.0.0/8")
    assert [str(one) for one in read({}).trusted_networks] == ["192.0.2.1/32", "10.0.0.0/8"]
    with pytest.raises(ConfigError, match="trusted_proxy"):
        read({"trusted_proxy": ("nginx",)})
