"""Every exception that logd raises, one class per reason: `from logd import errors`."""

from logd.model.errors import *  # noqa: F403
from logd.model.errors import ERRORS, LogdError, error_from_reason

__all__ = [
    "ERRORS",
    "LogdError",
    "error_from_reason",
    *(error.__name__ for error in ERRORS.values()),
]
