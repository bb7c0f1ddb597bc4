"""Why a door could not be opened at its address, which neither gRPC nor Flight tell."""

import errno
import socket

from logd.broker.config import split_address
from logd.model.errors import AddressInUse, InvalidConfig, LogdError


def bind_error(address: str, setting: str) -> LogdError:
    """Of an address that was refused; `setting` has it. Looks the host up, and tries to bind."""
    flag = f"--{setting.replace('_', '-')}"
    host, port = split_address(address, setting)
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except OSError as error:
        why = f"the host is not known here ({error.strerror})"
    else:
        number = next(filter(None, map(_try, found)), 0)
        if number == errno.EADDRINUSE:
            return AddressInUse(
                f"cannot listen on {address}: another program has this port; stop that, name "
                f"another with {flag}, or port 0 for a free one",
                address=address,
            )
        why = {
            errno.EADDRNOTAVAIL: "the address is not one of this machine's",
            errno.EACCES: "ports below 1024 take more rights than this user has",
        }.get(number, "the system refuses it")
    return InvalidConfig(
        f"cannot listen on {address}: {why}; name another with {flag}", field=setting
    )


def _try(found: tuple[int, int, int, str, object]) -> int:
    """The errno, or 0."""
    family, kind, protocol, _, address = found
    try:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)  # type: ignore[arg-type]
            probe.listen()
    except OSError as error:
        return error.errno or 0
    return 0
