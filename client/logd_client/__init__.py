"""The SDK of logd: Producer, Consumer and Admin on asyncio; the same without await in `sync`.

Names resolve on first use (PEP 562): importing the package loads neither grpc nor protobuf.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logd import errors as errors
    from logd.model.offset_spec import OffsetSpec as OffsetSpec
    from logd_client import sync as sync
    from logd_client.admin import Admin as Admin
    from logd_client.consumer import Consumer as Consumer
    from logd_client.consumer_health import ConsumerHealth as ConsumerHealth
    from logd_client.descriptions import ResetTarget as ResetTarget
    from logd_client.producer import Producer as Producer
    from logd_client.record import Record as Record
    from logd_client.record_batch import RecordBatch as RecordBatch

_HOMES = {
    "Admin": "logd_client.admin",
    "Consumer": "logd_client.consumer",
    "ConsumerHealth": "logd_client.consumer_health",
    "OffsetSpec": "logd.model.offset_spec",
    "Producer": "logd_client.producer",
    "Record": "logd_client.record",
    "RecordBatch": "logd_client.record_batch",
    "ResetTarget": "logd_client.descriptions",
}
_MODULES = {"errors": "logd.errors", "sync": "logd_client.sync"}

__all__ = [
    "Admin",
    "Consumer",
    "ConsumerHealth",
    "OffsetSpec",
    "Producer",
    "Record",
    "RecordBatch",
    "ResetTarget",
    "errors",
    "sync",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'logd_client' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
