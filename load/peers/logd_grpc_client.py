"""As `logd_sdk_client`, in a process that finds no pyarrow."""

import sys

sys.modules["pyarrow"] = None  # type: ignore[assignment]

from logd_sdk_client import *  # noqa: E402, F403
