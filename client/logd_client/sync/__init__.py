"""The synchronous face of the SDK: the same names without await.

Names resolve on first use, as in `logd_client`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logd_client.sync.admin import Admin as Admin
    from logd_client.sync.consumer import Consumer as Consumer
    from logd_client.sync.producer import Producer as Producer

_HOMES = {
    "Admin": "logd_client.sync.admin",
    "Consumer": "logd_client.sync.consumer",
    "Producer": "logd_client.sync.producer",
}

__all__ = ["Admin", "Consumer", "Producer"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'logd_client.sync' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
