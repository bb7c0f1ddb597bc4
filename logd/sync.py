"""The SDK without await: `from logd.sync import Producer, Consumer, Admin`.

Names resolve on first use, as in `logd`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logd_client.sync import Admin as Admin
    from logd_client.sync import Consumer as Consumer
    from logd_client.sync import Producer as Producer

__all__ = ["Admin", "Consumer", "Producer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'logd.sync' has no attribute {name!r}")
    import logd_client.sync

    return getattr(logd_client.sync, name)


def __dir__() -> list[str]:
    return list(__all__)
