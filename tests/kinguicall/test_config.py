"""Where options come from, and what is said about wrong ones."""

from pathlib import Path

import pytest

from kinguicall.config import ConfigError, make_keys, read
from signalling.grants import Claims, Grants


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINGUICALL_API_KEYS", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kinguicall.toml"
    path.write_text('port = 1001\nudp_port = 1001\nhost = "::1"\npublic_ip = ["192.0.2.1"]\n')
    return path


def test_flags_win_over_environment_over_file_over_defaults(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setenv("KINGUICALL_PORT", "2002")
    monkeypatch.setenv("KINGUICALL_UDP_PORT", "2002")

    settings = read({"port": 3003}, file)

    assert (settings.port, settings.udp_port, settings.host) == (3003, 2002, "::1")
    assert settings.public_ip == ("192.0.2.1",)
    assert settings.media_threads == 1


def test_defaults_are_those_of_the_manual() -> None:
    settings = read({})
    assert (settings.host, settings.port, settings.udp_port) == ("127.0.0.1", 8080, 7882)
    assert settings.tcp_port == 7881
    assert settings.audio_forward_limit == 20
    assert settings.downlink_limit_kbps == 20_000
    assert not settings.dev


def test_addresses_come_as_a_list_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINGUICALL_PUBLIC_IP", "192.0.2.1, 2001:DB8::1")
    assert read({}).public_ip == ("192.0.2.1", "2001:db8::1")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"public_ip": ("example.org",)}, "public_ip"),
        ({"bind": ("1.2.3",)}, "bind"),
        ({"media_threads": 0}, "media_threads"),
        ({"audio_forward_limit": -1}, "audio_forward_limit"),
        ({"downlink_limit_kbps": 99}, "downlink_limit_kbps"),
        ({"port": 70_000}, "port"),
        ({"udp_port": 65_535, "media_threads": 2}, "udp_port"),
        ({"tcp_port": 70_000}, "tcp_port"),
        ({"tls_cert": "a.pem"}, "go together"),
        ({"log_level": "loud"}, "log_level"),
        ({"redis_url": "redis://localhost"}, "memory registry only"),
    ],
)
def test_wrong_values_are_named(flags: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        read(flags)


@pytest.mark.parametrize(
    ("content", "named"),
    [("port = ", "kinguicall.toml"), ("prot = 1", "prot"), ("port = 'x'", "port")],
)
def test_a_wrong_file_is_explained(file: Path, content: str, named: str) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError, match=named):
        read({}, file)
    with pytest.raises(ConfigError, match="absent"):
        read({}, file.with_name("absent.toml"))


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINGUICALL_API_KEYS", "a:" + "s" * 32)
    settings = read({"dev": True})
    keys, made = make_keys(settings)
    assert (keys.first, made) == ("a", "")
    assert "ssss" not in repr(settings)


def test_wrong_keys_are_refused_without_showing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINGUICALL_API_KEYS", "hush-hush")
    with pytest.raises(ConfigError) as caught:
        make_keys(read({"dev": True}))
    assert "hush" not in str(caught.value)


def test_dev_makes_a_key_that_is_new_each_time() -> None:
    keys, secret = make_keys(read({"dev": True}))
    other, other_secret = make_keys(read({"dev": True}))

    assert keys.first == "devkey"
    assert secret != other_secret
    assert len(secret.encode()) >= 32
    token = keys.mint(Claims("a", Grants()))
    assert keys.verify(token)
    with pytest.raises(Exception, match="invalid"):
        other.verify(token)


def test_without_keys_a_server_does_not_start_and_says_how_to_make_one() -> None:
    with pytest.raises(ConfigError, match="KINGUICALL_API_KEYS") as caught:
        make_keys(read({}))
    assert "--dev" in str(caught.value)
