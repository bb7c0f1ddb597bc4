"""The cluster as a broker alone sees it."""

from logd.broker.single_broker import SingleBroker
from logd.model.cluster import BrokerDescription, HealthProblem


def test_before_and_after_it_is_known_where_it_listens() -> None:
    single = SingleBroker("cluster-1", [])
    assert (single.info().brokers, single.info().controller) == ((), 0)
    broker = BrokerDescription(7, "host:1", "r1", 42, "", 5, "0.1")
    single.announce(broker)
    info = single.info()
    assert (info.cluster_id, info.brokers, info.controller) == ("cluster-1", (broker,), 7)


def test_problems_come_from_all_sources_as_they_are_now() -> None:
    first, second = (HealthProblem("warning", reason, "", "", 0) for reason in ("A", "B"))
    found: list[HealthProblem] = []
    single = SingleBroker("c", [lambda: found, lambda: [second]])
    assert single.problems() == [second]
    found.append(first)
    assert single.problems() == [first, second]
