from xml.etree import ElementTree

import pytest
from svg_chart import LABEL_WIDTH, Bar, bar_chart

SVG = "{http://www.w3.org/2000/svg}"
BARS = [
    Bar("kafka <4>", 10.0, 5.0, 20.0, "10 & more"),
    Bar("logd", 40.0, 40.0, 40.0, "40.00", kind="ours"),
    Bar("raw", 80.0, 60.0, 100.0, "80.00", kind="limit", group="limit"),
]


@pytest.mark.parametrize("logarithmic", [False, True])
def test_it_is_xml_and_holds_each_label_and_value(logarithmic: bool) -> None:
    root = ElementTree.fromstring(bar_chart('produce "100 B"', "k/s", BARS, logarithmic))
    texts = {"".join(each.itertext()) for each in root.iter(f"{SVG}text")}
    assert texts == {'produce "100 B"', "k/s"} | {t for bar in BARS for t in (bar.label, bar.text)}
    assert root.get("aria-label") == 'produce "100 B"'
    assert "prefers-color-scheme: dark" in (root.findtext(f"{SVG}style") or "")


def test_bars_are_as_long_as_their_values() -> None:
    root = ElementTree.fromstring(bar_chart("", "", BARS))
    widths = [float(each.attrib["width"]) for each in root.iter(f"{SVG}rect")]
    assert widths[1] == pytest.approx(4 * widths[0]) and widths[2] == pytest.approx(8 * widths[0])


def test_on_a_logarithmic_scale_equal_factors_are_equal_lengths() -> None:
    bars = [Bar(str(value), value, value, value, "") for value in (0.1, 1.0, 10.0)]
    root = ElementTree.fromstring(bar_chart("", "", bars, logarithmic=True))
    first, second, third = (float(each.attrib["width"]) for each in root.iter(f"{SVG}rect"))
    assert first > 0 and second - first == pytest.approx(third - second, abs=0.2)


def test_whiskers_span_the_rounds_and_nothing_leaves_the_page() -> None:
    root = ElementTree.fromstring(bar_chart("", "", BARS))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for bar, path, rect in zip(BARS, root.iter(f"{SVG}path"), root.iter(f"{SVG}rect"), strict=True):
        ends = [float(each.split()[0]) for each in path.attrib["d"].split("M")[1:]]
        per_unit = float(rect.attrib["width"]) / bar.value
        assert ends[0] == pytest.approx(LABEL_WIDTH + bar.low * per_unit, abs=0.2)
        assert ends[-1] == pytest.approx(LABEL_WIDTH + bar.high * per_unit, abs=0.2)
        assert max(ends) < width and float(rect.attrib["y"]) < height


def test_no_bars_are_a_chart_too() -> None:
    assert ElementTree.fromstring(bar_chart("empty", "", [])).tag == f"{SVG}svg"
