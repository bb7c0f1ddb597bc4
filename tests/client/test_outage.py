from logd_client.core.outage import APART_MS, Outage


def test_it_is_told_after_five_seconds_then_rarer() -> None:
    outage, told = Outage(), []
    for now_ms in range(1_000, 1_801_000, 500):
        lasted_ms = outage.failed(now_ms)
        if lasted_ms is not None:
            told.append(lasted_ms // 1000)
    assert told == [5, 10, 20, 40, 80, 160, 320, 620, 920, 1220, 1520]


def test_an_answer_ends_it() -> None:
    outage = Outage()
    assert outage.failed(0) is outage.failed(4_999) is None
    assert outage.lasts
    assert outage.end(4_999) is None, "nobody was told that it began"
    assert not outage.lasts
    assert outage.failed(5_000) is outage.failed(9_999) is None
    assert outage.failed(10_000) == 5_000
    assert outage.failed(10_500) is None
    assert outage.end(11_000) == 6_000, "who was told is told of the end"
    assert outage.end(11_001) is None


def test_a_try_long_after_the_last_is_another_outage() -> None:
    outage = Outage()
    assert outage.failed(0) is outage.failed(APART_MS + 1) is None
    assert outage.failed(2 * APART_MS + 1) == APART_MS
