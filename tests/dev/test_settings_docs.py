from dataclasses import fields
from pathlib import Path

from logd.dev.settings_docs import settings_docs
from logd_client.client_config import ConsumerConfig, ProducerConfig

PAGE = Path(__file__).parents[2] / "docs" / "client-settings.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == settings_docs(), (
        "run `python -m logd.dev.settings_docs > docs/client-settings.md`"
    )


def test_every_setting_has_one_row() -> None:
    page = settings_docs()
    for name in {f.name for config in (ProducerConfig, ConsumerConfig) for f in fields(config)}:
        assert page.count(f"| `{name}` | ") == 1, name
