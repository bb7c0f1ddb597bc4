"""Writes docs/client-settings.md from the SDK's settings.

python -m logd.dev.settings_docs > docs/client-settings.md
"""

from collections.abc import Iterator
from dataclasses import Field, fields
from typing import Any

from logd_client.client_config import ClientConfig, ConsumerConfig, ProducerConfig, Setting

_HEAD = """\
# Settings of the clients

Written by `python -m logd.dev.settings_docs` from `client/logd_client/client_config.py`.

Keyword arguments of `Producer`, `Consumer` and `Admin`, with and without await:
`Producer(bootstrap_servers="127.0.0.1:9600", linger_ms=20)`. They have Kafka's names. An
unknown one raises `InvalidConfig` with "did you mean"; so does a value out of bounds."""

_COLUMNS = "| setting | default | takes | what it is |\n|---|---|---|---|"


def settings_docs() -> str:
    """The page as Markdown, the settings in the order of their declaration."""
    return "\n".join([_HEAD, *_sections()]) + "\n"


def _sections() -> Iterator[str]:
    shared = {f.name for f in fields(ClientConfig)}
    for title, config in (
        ("All three", ClientConfig),
        ("Producer", ProducerConfig),
        ("Consumer", ConsumerConfig),
    ):
        yield f"\n## {title}\n\n{_COLUMNS}"
        for declared in fields(config):
            if config is ClientConfig or declared.name not in shared:
                yield _row(declared)


def _row(declared: "Field[Any]") -> str:
    setting: Setting = declared.metadata["setting"]
    takes = " or ".join(f"`{choice}`" for choice in setting.choices)
    if setting.low is not None and setting.high is not None:
        takes = f"{setting.low:,} to {setting.high:,}"
    elif isinstance(declared.default, bool):
        takes = "`True` or `False`"
    return f"| `{declared.name}` | `{declared.default}` | {takes} | {setting.meaning} |"


if __name__ == "__main__":
    print(settings_docs(), end="")
