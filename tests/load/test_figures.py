from figures import CPU, RATE, Figure, Figures, table


def rate(system: str, *values: float) -> Figure:
    return Figure("produce 100 B", system, RATE, values)


def test_a_figure_comes_back_from_json() -> None:
    figure = rate("logd", 3.0, 1.0, 2.0)
    row = figure.to_json()
    assert (row["median"], row["min"], row["max"]) == (2.0, 1.0, 3.0)
    assert Figure.from_json(row) == figure


def test_ratios_are_taken_round_by_round() -> None:
    figures = Figures([rate("logd", 10.0, 40.0, 90.0), rate("raw", 100.0, 200.0, 300.0)])
    ratio = figures.times("produce 100 B", "logd", "raw", RATE)
    assert ratio is not None and ratio.values == (0.1, 0.2, 0.3)


def test_of_unequal_rounds_the_medians_are_compared() -> None:
    figures = Figures([rate("logd", 10.0, 40.0, 90.0), rate("raw", 100.0, 300.0)])
    ratio = figures.times("produce 100 B", "logd", "raw", RATE)
    assert ratio is not None and ratio.values == (0.2,)


def test_a_smaller_latency_is_a_better_ratio() -> None:
    cell = "latency 100 B"
    own, raw = Figure(cell, "logd", "p50_ms", (0.5,)), Figure(cell, "raw", "p50_ms", (0.1,))
    figures = Figures([own, raw])
    ratio = figures.times(cell, "logd", "raw", "p50_ms")
    assert ratio is not None and ratio.values == (0.2,)
    assert figures.times(cell, "logd", "kafka", "p50_ms") is None


def test_tables_hold_medians_spans_and_ratios() -> None:
    figures = Figures(
        [
            rate("logd", 1_000_000.0, 2_000_000.0, 4_000_000.0),
            Figure("produce 100 B", "logd", CPU, (0.5, 0.25, 0.75)),
            rate("raw", 20_000_000.0, 20_000_000.0, 20_000_000.0),
            Figure("e2e 100 B", "logd", "p50_ms", (0.4,)),
            Figure("e2e 100 B", "logd", "p99_ms", (1.4,)),
        ]
    )
    lines = table(figures, ["raw"])
    assert lines[0] == ("| cell | system | k records/s | min to max | of raw | client CPU s/M |")
    assert lines[2] == "| produce 100 B | logd | 2,000 | 1,000 to 4,000 | 0.1 | 0.50 |"
    assert lines[3] == "| produce 100 B | raw | 20,000 | 20,000 to 20,000 | 1.00 | - |"
    assert lines[-2] == "| e2e 100 B | logd | 0.40 | - | 1.40 | - | - | - |"
    assert len({line.count("|") for line in lines[:4]}) == 1
