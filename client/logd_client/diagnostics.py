"""The SDK's diagnostics: the standard library's logger "logd_client".

As is usual for a library, nothing below a warning shows unless the program configures `logging`,
and warnings go to stderr: stdout is for the program's data.
"""

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog


def _to_line(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    what = event.pop("event")
    error = event.pop("exc_info", None)
    words = [what, *(f"{name}={value}" for name, value in event.items())]
    return " ".join(words if error is None else [*words, repr(error)])


logger = structlog.wrap_logger(
    logging.getLogger("logd_client"),
    processors=[structlog.stdlib.filter_by_level, _to_line],
    wrapper_class=structlog.stdlib.BoundLogger,
)
