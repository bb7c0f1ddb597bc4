"""Where the SDK's diagnostics go: as the program has configured structlog, otherwise to stderr."""

import sys
from typing import Any

import structlog

_on_stderr = structlog.wrap_logger(structlog.PrintLogger(sys.stderr))


class SdkLogger:
    """A structlog logger. Structlog's own default is stdout, which is for the program's data."""

    def __getattr__(self, name: str) -> Any:
        return getattr(structlog.get_logger() if structlog.is_configured() else _on_stderr, name)


logger = SdkLogger()
