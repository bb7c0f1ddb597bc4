"""`logd_sdk_client`, under the name of a broker with a Flight door."""

from logd_sdk_client import *  # noqa: F403
