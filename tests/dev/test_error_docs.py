from pathlib import Path

from logd.dev.error_docs import error_docs
from logd.model.errors import ERRORS

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == error_docs(), (
        "run `python -m logd.dev.error_docs > docs/errors.md`"
    )


def test_every_reason_has_a_row_and_a_section() -> None:
    page = error_docs()
    for reason, error in ERRORS.items():
        assert f"| [`{reason}`](#{reason.lower()}) | `{error.__name__}` |" in page
        assert f"\n## {reason}\n" in page
