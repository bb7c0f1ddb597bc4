"""Addresses of brokers as people write them: HOST:PORT, [IPv6]:PORT, several with commas."""

import re
from collections.abc import Sequence
from typing import NamedTuple

PORT_MAX = 65535
EXAMPLE = "127.0.0.1:9600"
_IPV6 = r"[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%\w+)?"
_ADDRESS = re.compile(rf"(?:\[({_IPV6})\]|([\w.-]+))(?::([0-9]+))?")
_BARE_IPV6 = re.compile(rf"({_IPV6}):([0-9]+)")


class Address(NamedTuple):
    """Where something listens. An IPv6 `host` is without brackets; as text it has them."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """One address with its port, 1 to PORT_MAX. Raises ValueError, which says what to write."""
    match = _ADDRESS.fullmatch(text.strip())
    port = match and int(match[3] or 0)
    if match is None or not port or port > PORT_MAX:
        raise ValueError(f"'{text}' is no address: write {_instead_of(text.strip())}")
    return Address(match[1] or match[2], port)


def parse_addresses(texts: str | Sequence[str]) -> tuple[Address, ...]:
    """Addresses, each once, in order: a list, or one text with commas. Raises ValueError."""
    listed = texts.split(",") if isinstance(texts, str) else texts
    return tuple(dict.fromkeys(parse_address(text) for text in listed))


def _instead_of(text: str) -> str:
    if bare := _BARE_IPV6.fullmatch(text):
        return f"[{bare[1]}]:{bare[2]} for IPv6"
    parts = [part for part in re.split(r"[;|\s]+", text) if part]
    if len(parts) > 1 and all(_ADDRESS.fullmatch(part) for part in parts):
        return f"{','.join(parts)}, with commas between addresses"
    if "://" in text:
        return f"HOST:PORT alone, as {EXAMPLE}, without {text.partition('://')[0]}://"
    return f"HOST:PORT, as {EXAMPLE}, with a port from 1 to {PORT_MAX}"
