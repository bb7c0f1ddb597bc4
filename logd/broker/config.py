"""The broker's settings: TOML file, then `LOGD_*` variables, then flags, each over the last.

Unknown keys are refused with "did you mean". Of the environment only near misses of a setting are
refused: orchestrators put variables of their own there (LOGD_SERVICE_HOST, LOGD_PORT, ...).
"""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args, get_type_hints

import msgspec

from logd.model.errors import InvalidConfig

DEFAULT_LISTEN = "127.0.0.1:9600"
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
ENVIRONMENT_PREFIX = "LOGD_"
OTHERS_IN_ENVIRONMENT = ("BOOTSTRAP", "OUTPUT", "CONFIG")
"""Read by logctl, or (CONFIG) by `logd start` itself to find the file."""
NEAR_MISS = 0.8


class BrokerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting of `logd start`; docs/configuration.md says what each is for."""

    data_dir: str = "./logd-data"
    listen: str = DEFAULT_LISTEN
    flight_listen: str = "off"
    advertise: str = ""
    broker_id: Annotated[int, msgspec.Meta(ge=0, le=1 << 30)] = 0
    rack: str = ""
    metadata: str = "sqlite"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    drain_timeout_ms: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] = 10_000

    @property
    def listen_host(self) -> str:
        return split_address(self.listen)[0]

    @property
    def flight_address(self) -> str:
        """Where to listen for Flight, if pyarrow is there; empty: nowhere."""
        if self.flight_listen == "auto":
            return f"{self.listen_host}:0" if self.listen_host in LOOPBACK_HOSTS else ""
        return "" if self.flight_listen == "off" else self.flight_listen


def split_address(address: str, name: str = "listen") -> tuple[str, int]:
    """HOST:PORT, [IPv6]:PORT. Raises InvalidConfig."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise InvalidConfig(
            f"{name} is '{address}', but takes HOST:PORT, for example {DEFAULT_LISTEN}", field=name
        )
    return host, int(port)


def load_config(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]
) -> BrokerConfig:
    """The settings in force. `flags` holds only those that were given. Raises InvalidConfig."""
    settings: dict[str, object] = {}
    if file is not None:
        settings |= _from_file(file)
    settings |= _from_environment(environment)
    settings |= flags
    try:
        config = msgspec.convert(settings, BrokerConfig, strict=False)
    except msgspec.ValidationError as error:
        raise _not_acceptable(str(error), settings) from None
    split_address(config.listen, "listen")
    if config.flight_listen not in ("auto", "off"):
        split_address(config.flight_listen, "flight_listen")
    if config.advertise:
        split_address(config.advertise, "advertise")
    if config.metadata != "sqlite":
        raise InvalidConfig(
            f"metadata is '{config.metadata}', but this version keeps it in sqlite only",
            field="metadata",
        )
    return config


def _not_acceptable(problem: str, settings: Mapping[str, object]) -> InvalidConfig:
    """msgspec's message ends in the place: 'Expected `int`, got `str` - at `$.broker_id`'."""
    what, _, place = problem.partition(" - at `$.")
    name = place.removesuffix("`")
    choices = get_args(get_type_hints(BrokerConfig).get(name))
    if choices:
        what = f"takes {', '.join(map(str, choices))}"
    elif what == "Expected `int`, got `str`":
        what = "takes a whole number"
    return InvalidConfig(f"{name} is '{settings.get(name, '')}': {what}", field=name)


def _from_file(file: Path) -> dict[str, object]:
    try:
        settings = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfig(f"cannot read the configuration {file}: {error}", file=file) from None
    for key in settings:
        if key not in BrokerConfig.__struct_fields__:
            raise InvalidConfig(f"{file}: unknown setting '{key}'{_did_you_mean(key)}", field=key)
    return settings


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    settings: dict[str, object] = {}
    for variable, value in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        key = name.lower()
        if key in BrokerConfig.__struct_fields__:
            settings[key] = value
        elif name not in OTHERS_IN_ENVIRONMENT and (near := _near(key)):
            raise InvalidConfig(
                f"unknown variable {variable}; did you mean {ENVIRONMENT_PREFIX}{near.upper()}?",
                field=variable,
            )
    return settings


def _near(key: str) -> str | None:
    return next(
        iter(difflib.get_close_matches(key, BrokerConfig.__struct_fields__, 1, NEAR_MISS)), None
    )


def _did_you_mean(key: str) -> str:
    near = difflib.get_close_matches(key, BrokerConfig.__struct_fields__, 1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known are {', '.join(BrokerConfig.__struct_fields__)}"
