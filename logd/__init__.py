"""logd: a partitioned, replicated commit log. `from logd import Producer, Consumer, Admin`.

Names resolve on first use (PEP 562), so that `import logd` costs nothing and pulls in no grpc.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logd import errors as errors
    from logd import sync as sync
    from logd_client import Admin as Admin
    from logd_client import Consumer as Consumer
    from logd_client import OffsetSpec as OffsetSpec
    from logd_client import Producer as Producer
    from logd_client import Record as Record
    from logd_client import RecordBatch as RecordBatch
    from logd_client import ResetTarget as ResetTarget

__all__ = [
    "Admin",
    "Consumer",
    "OffsetSpec",
    "Producer",
    "Record",
    "RecordBatch",
    "ResetTarget",
    "errors",
    "sync",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'logd' has no attribute {name!r}")
    import importlib

    if name in ("errors", "sync"):
        return importlib.import_module(f"logd.{name}")
    return getattr(importlib.import_module("logd_client"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
