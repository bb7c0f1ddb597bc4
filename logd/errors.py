"""Every exception that logd raises, one class a reason: `from logd.errors import UnknownTopic`."""

from logd.model.errors import *  # noqa: F403
