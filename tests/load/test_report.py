"""Charts and text of results; the committed ones are those of the committed figures."""

from pathlib import Path
from typing import Any

import pytest
import result_file
from figures import RATE, Figure
from report import END, START, charts, figures_of, section, with_section

LOAD = Path(__file__).parents[2] / "load"
PUBLISHED = LOAD / "results" / "compare.json"


def result(*figures: Figure) -> dict[str, Any]:
    return {
        "command": "load/compare --rounds 2",
        "note": "",
        "machine": dict.fromkeys(("processor", "cores", "memory", "system", "load_average"), "m"),
        "versions": {"logd": "1"},
        "rounds": 2,
        "skipped": {"redis": "no --redis HOST:PORT"},
        "failures": {"e2e 100 B, nats": "it fell over"},
        "figures": [each.to_json() for each in figures],
    }


SMALL = result(
    Figure("produce 100 B", "kafka", RATE, (1e6, 1e6)),
    Figure("produce 100 B", "logd", RATE, (2e6, 4e6)),
    Figure("latency 100 B", "logd", "p50_ms", (0.25, 0.25)),
)


def test_a_chart_for_each_cell_and_one_of_the_ratios() -> None:
    made = charts(figures_of(SMALL))
    assert list(made) == ["produce-100-B.svg", "latency-100-B.svg", "of-kafka.svg"]
    assert "3,000, 3.00 of kafka" in made["produce-100-B.svg"]
    assert "0.25" in made["latency-100-B.svg"] and "p50 logd" in made["latency-100-B.svg"]
    alone = charts(figures_of(result(Figure("produce 100 B", "logd", RATE, (1e6,)))))
    assert list(alone) == ["produce-100-B.svg"]


def test_the_section_says_what_was_left_out_and_shows_each_chart() -> None:
    text = section(SMALL)
    assert "`load/compare --rounds 2`, 2 interleaved rounds" in text
    assert "Skipped: redis: no --redis HOST:PORT." in text
    assert "Not measured: e2e 100 B, nats: it fell over." in text
    for name in charts(figures_of(SMALL)):
        assert f"(results/{name})" in text


def test_a_page_keeps_what_is_not_the_section() -> None:
    page = f"above\n{START}\nold\n{END}\nbelow\n"
    assert with_section(page, f"{START}\nnew\n{END}") == f"above\n{START}\nnew\n{END}\nbelow\n"
    with pytest.raises(ValueError, match="has no"):
        with_section("another page", "")


def test_what_is_published_is_of_the_figures_beside_it() -> None:
    published = result_file.read(PUBLISHED)
    assert section(published) in (LOAD / "README.md").read_text()
    made = charts(figures_of(published))
    assert made == {file.name: file.read_text() for file in PUBLISHED.parent.glob("*.svg")}
