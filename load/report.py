"""What a comparison is shown as: charts and a section of Markdown, of its results in JSON. Pure."""

from typing import Any

from figures import CPU, LATENCIES, RATE, Figure, Figures, table
from own_servers import LOGD, LOGD_BATCH, RAW
from svg_chart import Bar, bar_chart

KAFKA = "kafka"
KINDS = {LOGD: "ours", LOGD_BATCH: "ours", RAW: "limit"}
START, END = "<!-- results: made by load/compare -->", "<!-- end of results -->"


def charts(figures: Figures) -> dict[str, str]:
    """File name -> SVG: one for each cell, and one of all ratios to Kafka, if it took part."""
    made = {}
    for cell in figures.cells:
        name = f"{cell.replace(' ', '-')}.svg"
        made[name] = (
            _latency_chart(figures, cell) if _timed(figures, cell) else _rates(figures, cell)
        )
    ratios = _ratios(figures)
    if ratios:
        made["of-kafka.svg"] = bar_chart(
            "logd beside Kafka",
            "times as fast, one is equal; bars: median of rounds, whiskers: least and most",
            ratios,
        )
    return made


def section(result: dict[str, Any]) -> str:
    """The text between START and END: how it was made, what was left out, charts, tables."""
    figures = figures_of(result)
    machine, versions = result["machine"], result["versions"]
    about = [
        f"`{result['command']}`, {result['rounds']} interleaved rounds, on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory']}, {machine['system']}, load average "
        f"{machine['load_average']} at the start.",
        "Versions: " + ", ".join(f"{name} {text}" for name, text in versions.items()) + ".",
    ]
    about += [result["note"]] if result["note"] else []
    about += [f"Skipped: {name}: {why}." for name, why in result["skipped"].items()]
    about += [f"Not measured: {cell}: {why}." for cell, why in result["failures"].items()]
    images = [f"![{name[:-4].replace('-', ' ')}](results/{name})" for name in charts(figures)]
    others = [each for each in (KAFKA, RAW) if any(f.system == each for f in figures.all)]
    parts = ["\n".join(about), "\n".join(images), "\n".join(table(figures, others)).strip()]
    return f"{START}\n" + "\n\n".join(parts) + f"\n{END}"


def with_section(page: str, text: str) -> str:
    """The page with its section replaced. Raises ValueError where it has none."""
    head, start, rest = page.partition(START)
    _, end, tail = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the page has no {START} and {END}")
    return head + text + tail


def figures_of(result: dict[str, Any]) -> Figures:
    return Figures([Figure.from_json(row) for row in result["figures"]])


def _timed(figures: Figures, cell: str) -> bool:
    return any(each.cell == cell and each.metric in LATENCIES for each in figures.all)


def _rates(figures: Figures, cell: str) -> str:
    bars = []
    for system in figures.systems(cell):
        rate, cpu = figures.get(cell, system, RATE), figures.get(cell, system, CPU)
        if rate is None:
            continue
        text = f"{rate.median / 1e3:,.0f}"
        ratio = figures.times(cell, system, KAFKA, RATE)
        text += f", {ratio.median:.2f} of {KAFKA}" if ratio and system != KAFKA else ""
        text += f", {cpu.median:.2g} s/M" if cpu and not ratio else ""
        bars.append(_bar(system, rate, text, 1e-3))
    bars.sort(key=lambda bar: -bar.value)
    return bar_chart(cell, "thousand records a second", bars)


def _latency_chart(figures: Figures, cell: str) -> str:
    bars = []
    for metric in ("p50_ms", "p99_ms", "p99_9_ms"):
        for system in figures.systems(cell):
            figure = figures.get(cell, system, metric)
            if figure is not None and figure.low > 0:
                group = metric[:-3].replace("_", ".")
                text = f"{figure.median:.2f}"
                bars.append(_bar(system, figure, text, 1.0, f"{group} {system}", group))
    return bar_chart(cell, "ms, on a logarithmic scale", bars, logarithmic=True)


def _ratios(figures: Figures) -> list[Bar]:
    bars = []
    for cell in figures.cells:
        for system in (LOGD, LOGD_BATCH):
            for metric in (RATE, "p50_ms", "p99_ms"):
                ratio = figures.times(cell, system, KAFKA, metric)
                if ratio is not None and ratio.values:
                    of = cell if metric == RATE else f"{cell} {metric[:-3]}"
                    label = f"{of}, batches" if system == LOGD_BATCH else of
                    bars.append(_bar(system, ratio, f"{ratio.median:.2f}", 1.0, label, cell))
    return bars


def _bar(
    system: str, figure: Figure, text: str, scale: float, label: str = "", group: str = ""
) -> Bar:
    values = (figure.median * scale, figure.low * scale, figure.high * scale)
    return Bar(label or system, *values, text, KINDS.get(system, "bar"), group)
