import json

import pytest
from baseline import Change, Share, changes, from_json, report, shares_of, to_json
from figures import RATE, Figure, Figures

NAME = f"produce 100 B, logd, {RATE}"


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (Share(0.5, 0.4, 0.6), Share(0.3, 0.2, 0.39), "slower"),
        (Share(0.5, 0.4, 0.6), Share(0.3, 0.2, 0.41), "same"),  # a round as good as one before
        (Share(0.5, 0.4, 0.6), Share(0.9, 0.61, 1.0), "faster"),
        (Share(0.5, 0.4, 0.6), Share(0.9, 0.59, 1.0), "same"),
        (Share(0.5, 0.4, 0.6), None, "gone"),
        (None, Share(0.5, 0.4, 0.6), "new"),
    ],
)
def test_a_change_is_one_beyond_the_noise_of_both(
    before: Share | None, now: Share | None, verdict: str
) -> None:
    assert Change(NAME, before, now).verdict == verdict


def test_shares_are_of_the_raw_limit_and_outlive_the_file() -> None:
    figures = Figures(
        [
            Figure("produce 100 B", "logd", RATE, (100.0, 300.0, 200.0)),
            Figure("produce 100 B", "raw", RATE, (1_000.0, 9_000.0, 900.0)),
            Figure("produce 100 B", "logd", "mb_per_second", (1.0,)),
        ]
    )
    shares = shares_of(figures)
    assert shares == {NAME: Share(0.2, 0.1, 0.3)}
    file = json.loads(json.dumps(to_json(shares, {"machine": {}})))
    assert from_json(file) == shares


def test_the_report_says_plainly_what_changed() -> None:
    before = {NAME: Share(0.5, 0.4, 0.6), "kept": Share(1, 1, 1), "old": Share(1, 1, 1)}
    now = {NAME: Share(0.25, 0.2, 0.3), "kept": Share(1, 1, 1), "young": Share(1, 1, 1)}
    assert report(changes(before, now)) == [
        f"slower: {NAME}: -50% against the raw limit, 0.5 (0.4 to 0.6) before, "
        "0.25 (0.2 to 0.3) now",
        "new: young",
        "gone: old",
        "1 of 4 figures within the noise of their rounds",
    ]
