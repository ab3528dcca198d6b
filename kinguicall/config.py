"""What the operator decides: flags, then environment, then a TOML file, then defaults.

What options there are is `kinguicall.options`. Reading ends with a complete and checked `Settings`
or with a `ConfigError` that names each wrong option.
"""

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from kinguicall.options import PREFIX, Options, suggestion, unknown_variables
from signalling.http.addresses import Network, parse_network
from signalling.tokens import KeyRing, KeysError, make_secret

DEV_KEY = "devkey"


class ConfigError(Exception):
    """The configuration cannot be used; one line for each reason, without secrets."""


class Settings(Options, BaseSettings):
    """Checked options of `kinguicall serve`; see `options` for the table."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        # Lists are separated by commas, which validators do.
        enable_decoding=False,
    )

    api_keys: SecretStr = SecretStr("")

    @property
    def trusted_networks(self) -> tuple[Network, ...]:
        """`trusted_proxy` as networks."""
        return tuple(map(parse_network, self.trusted_proxy))

    @field_validator("public_ip", "bind", "trusted_proxy", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("public_ip", "bind")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_address(address.strip())) for address in value)

    @field_validator("trusted_proxy")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(parse_network(network)) for network in value)

    @field_validator("media_threads")
    @classmethod
    def _threads(cls, value: int) -> int:
        if not 1 <= value <= 64:
            raise ValueError("has to be 1 to 64")
        return value

    @field_validator("audio_forward_limit")
    @classmethod
    def _audio_limit(cls, value: int) -> int:
        if not 0 <= value <= 65_535:
            raise ValueError("has to be 0 to 65535")
        return value

    @field_validator("downlink_limit_kbps")
    @classmethod
    def _downlink_limit(cls, value: int) -> int:
        if not (value == 0 or 100 <= value <= 10_000_000):
            raise ValueError("has to be 0 for none, or 100 to 10000000")
        return value

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        if value.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("has to be debug, info, warning or error")
        return value.lower()

    @field_validator("redis_url")
    @classmethod
    def _no_redis(cls, value: str) -> str:
        if value:
            raise ValueError("this build has the memory registry only: leave the option out")
        return value

    @model_validator(mode="after")
    def _tls(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        return self

    @model_validator(mode="after")
    def _ports(self) -> Self:
        if not 0 <= self.port <= 65_535:
            raise ValueError("port has to be 0 to 65535")
        if not 0 <= self.tcp_port <= 65_535:
            raise ValueError("tcp_port has to be 0 to 65535")
        # Port 0 lets every thread take a free one.
        ports = 1 if self.single_udp_port else self.media_threads
        if self.udp_port and not 1 <= self.udp_port <= 65_536 - ports:
            raise ValueError("udp_port and one port for each further media thread have to fit")
        return self


def read(flags: dict[str, Any], file: Path | None = None) -> Settings:
    """The settings. `flags` holds the options given on the command line. Raises ConfigError."""
    values = _read_file(file) if file is not None else {}
    mistyped = unknown_variables(os.environ)
    if mistyped:
        raise ConfigError("\n".join(mistyped))

    class WithFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, values)

    try:
        return WithFile(**flags)
    except ValidationError as error:
        raise ConfigError("\n".join(map(_describe, error.errors()))) from None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None


def _describe(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    where = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        message = "there is no such option" + suggestion(where, Settings.model_fields)
    return f"{where}: {message}" if where else message


def make_keys(settings: Settings) -> tuple[KeyRing, str]:
    """The API keys, and the secret that was made up for `--dev` (empty if keys were given).

    Raises ConfigError if there are none and this is not `--dev`.
    """
    text = settings.api_keys.get_secret_value()
    if text.strip():
        try:
            return KeyRing.parse(text), ""
        except KeysError as error:
            raise ConfigError(f"api_keys: {error}") from None
    if settings.dev:
        secret = make_secret()
        return KeyRing({DEV_KEY: secret}), secret
    raise ConfigError(
        "no API key: set KINGUICALL_API_KEYS to one or more key:secret pairs, for example\n"
        f'  export KINGUICALL_API_KEYS="main:{make_secret()}"\n'
        "or start with --dev to try things out with a key made up for this run"
    )
