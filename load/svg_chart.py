"""Horizontal bars as SVG, for light and dark pages. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

WIDTH, LABEL_WIDTH, VALUE_WIDTH = 760, 190, 190
BAR_HEIGHT, ROW_HEIGHT, GROUP_GAP, TOP = 16, 24, 12, 56
DECADES_BELOW = 0.3
"""On a logarithmic scale the axis begins so many decades below the least value."""

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.unit, .value { fill: #57606a }
.bar { fill: #8c959f }
.ours { fill: #0969da }
.limit { fill: #bf8700 }
.span { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .unit, .value { fill: #9da7b3 }
  .bar { fill: #6e7681 }
  .ours { fill: #4493f8 }
  .limit { fill: #d29922 }
  .span { stroke: #e6edf3 }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """`value` with a whisker from `low` to `high`; `kind`: 'bar', 'ours', 'limit'.

    Neighbours of different `group` stand apart.
    """

    label: str
    value: float
    low: float
    high: float
    text: str
    kind: str = "bar"
    group: str = ""


def bar_chart(title: str, unit: str, bars: Sequence[Bar], logarithmic: bool = False) -> str:
    """An SVG document. Values are above 0 where the scale is logarithmic."""
    place = _Scale(bars, logarithmic)
    body = [
        f'<text class="title" x="0" y="18">{escape(title)}</text>',
        f'<text class="unit" x="0" y="38">{escape(unit)}</text>',
    ]
    height = TOP
    for before, bar in zip((bars[0], *bars) if bars else (), bars, strict=False):
        height += GROUP_GAP if bar.group != before.group else 0
        body += _row(bar, height, place)
        height += ROW_HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label={quoteattr(title)}>\n'
        f"<style>{_STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


class _Scale:
    """Value -> x."""

    def __init__(self, bars: Sequence[Bar], logarithmic: bool) -> None:
        self._log = logarithmic
        self._start = self._of(min((bar.low for bar in bars), default=1.0)) - DECADES_BELOW
        self._start = self._start if logarithmic else 0.0
        self._end = self._of(max((bar.high for bar in bars), default=1.0))

    def _of(self, value: float) -> float:
        return math.log10(value) if self._log else value

    def __call__(self, value: float) -> float:
        room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
        share = (self._of(value) - self._start) / ((self._end - self._start) or 1.0)
        return LABEL_WIDTH + room * share


def _row(bar: Bar, top: float, place: _Scale) -> list[str]:
    middle, base = top + BAR_HEIGHT / 2, top + BAR_HEIGHT - 4
    low, high = place(bar.low), place(bar.high)
    whisker = f"M{low:.1f} {middle - 4}v8M{low:.1f} {middle}H{high:.1f}M{high:.1f} {middle - 4}v8"
    return [
        f'<text x="{LABEL_WIDTH - 8}" y="{base}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect class="{bar.kind}" x="{LABEL_WIDTH}" y="{top}" height="{BAR_HEIGHT}" '
        f'width="{place(bar.value) - LABEL_WIDTH:.1f}" rx="2"/>',
        f'<path class="span" fill="none" d="{whisker}"/>',
        f'<text class="value" x="{high + 8:.1f}" y="{base}">{escape(bar.text)}</text>',
    ]
