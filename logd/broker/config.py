"""The broker's settings: TOML file, then `LOGD_*` variables, then flags, each over the last.

All that is wrong is told at once. Unknown keys are refused with "did you mean". Of the environment
only near misses of a setting are refused: orchestrators put variables of their own there
(LOGD_SERVICE_HOST, LOGD_PORT, ...).
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import msgspec

from logd.model.errors import InvalidConfig

DEFAULT_LISTEN = "127.0.0.1:9600"
ENVIRONMENT_PREFIX = "LOGD_"
OTHERS_IN_ENVIRONMENT = ("BOOTSTRAP", "OUTPUT", "CONFIG")
"""Read by logctl, or (CONFIG) by `logd start` itself to find the file."""
NEAR_MISS = 0.8
VALUE_CHARS_MAX = 100
"""Shown of a wrong one."""
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+(%\w+)?\]|[^\s:/\[\]]+")
_ADDRESS = f"HOST:PORT, for example {DEFAULT_LISTEN}"


class BrokerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting of `logd start`; docs/configuration.md says what each is for."""

    data_dir: str = "./logd-data"
    listen: str = DEFAULT_LISTEN
    flight_listen: str = "off"
    advertise: str = ""
    broker_id: Annotated[int, msgspec.Meta(ge=0, le=1 << 30)] = 0
    rack: str = ""
    metadata: Literal["sqlite"] = "sqlite"
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
            return f"{self.listen_host}:0" if is_loopback(self.listen_host) else ""
        return "" if self.flight_listen == "off" else self.flight_listen


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it. A name but localhost may be any address."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_every_address(host: str) -> bool:
    """0.0.0.0 and [::], which nobody can connect to."""
    try:
        return ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def split_address(address: str, name: str = "listen") -> tuple[str, int]:
    """HOST:PORT, [IPv6]:PORT. Raises InvalidConfig."""
    host, _, port = address.rpartition(":")
    is_port = re.fullmatch("[0-9]{1,5}", port) and int(port) <= 65535
    if is_port and _HOST.fullmatch(host):
        return host, int(port)
    takes = _ADDRESS
    if is_port and _HOST.fullmatch(f"[{host}]") and ":" in host:
        takes = f"an IPv6 address in brackets: [{host}]:{port}"
    raise InvalidConfig(f"{name} is '{_cut(address)}', but takes {takes}", field=name)


def load_config(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]
) -> BrokerConfig:
    """The settings in force. `flags` holds only those that were given. Raises InvalidConfig, which
    names everything that is wrong."""
    settings: dict[str, object] = {}
    problems: list[InvalidConfig] = []
    if file is not None:
        _from_file(file, settings, problems)
    _from_environment(environment, settings, problems)
    settings |= flags
    for name in [name for name in BrokerConfig.__struct_fields__ if name in settings]:
        try:
            settings[name] = _parse(name, settings[name])
        except InvalidConfig as problem:
            problems.append(problem)
    if problems:
        raise InvalidConfig(
            "; ".join(problem.message for problem in problems),
            field=", ".join(problem.details["field"] for problem in problems),
        )
    return BrokerConfig(**settings)  # type: ignore[arg-type]


def takes(name: str) -> str:
    """What a setting takes, as an error and docs/configuration.md say it."""
    kind = get_type_hints(BrokerConfig, include_extras=True)[name]
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if get_origin(kind) is Annotated:
        bounds = get_args(kind)[1]
        return f"{bounds.ge} to {bounds.le}"
    return {
        "data_dir": "a path",
        "listen": "HOST:PORT",
        "flight_listen": "HOST:PORT or auto or off",
        "advertise": "HOST:PORT",
        "rack": "text",
    }[name]


def _parse(name: str, value: object) -> object:
    """Raises InvalidConfig."""
    kind = get_type_hints(BrokerConfig, include_extras=True)[name]
    try:
        parsed = msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        raise _wrong(name, value) from None
    if name == "data_dir" and not parsed:
        raise _wrong(name, value)
    is_address = name in ("listen", "flight_listen", "advertise")
    if not is_address or parsed in {"flight_listen": ("auto", "off"), "advertise": ("",)}.get(
        name, ()
    ):
        return parsed
    host, port = split_address(parsed, name)
    if name == "advertise" and (port == 0 or is_every_address(host)):
        raise InvalidConfig(
            f"advertise is '{parsed}', but takes an address that clients can connect to", field=name
        )
    return parsed


def _wrong(name: str, value: object) -> InvalidConfig:
    return InvalidConfig(f"{name} is '{_cut(value)}', but takes {takes(name)}", field=name)


def _cut(value: object) -> str:
    text = str(value)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}..."


def _from_file(file: Path, settings: dict[str, object], problems: list[InvalidConfig]) -> None:
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problem = f"cannot read the configuration {file}: {error}"
        problems.append(InvalidConfig(problem, field=file))
        return
    for key, value in found.items():
        if key in BrokerConfig.__struct_fields__:
            settings[key] = value
            continue
        problem = f"{file}: unknown setting '{_cut(key)}'{_did_you_mean(key)}"
        problems.append(InvalidConfig(problem, field=_cut(key)))


def _from_environment(
    environment: Mapping[str, str], settings: dict[str, object], problems: list[InvalidConfig]
) -> None:
    for variable, value in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        key = name.lower()
        if key in BrokerConfig.__struct_fields__:
            settings[key] = value
        elif name not in OTHERS_IN_ENVIRONMENT and (near := _near(key)):
            meant = f"{ENVIRONMENT_PREFIX}{near.upper()}"
            problem = f"unknown variable {variable}; did you mean {meant}?"
            problems.append(InvalidConfig(problem, field=variable))


def _near(key: str) -> str | None:
    return next(
        iter(difflib.get_close_matches(key, BrokerConfig.__struct_fields__, 1, NEAR_MISS)), None
    )


def _did_you_mean(key: str) -> str:
    near = difflib.get_close_matches(key, BrokerConfig.__struct_fields__, 1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known are {', '.join(BrokerConfig.__struct_fields__)}"
