"""Which partitions a request means, at a cost that does not multiply."""

from collections.abc import Collection, Iterator

import pytest

from harness.group_bench import GroupBench
from logd.model.errors import Overloaded
from logd.model.group import TopicSelection
from logd.model.ids import PartitionId, TopicId, TopicPartition
from logd_consumer_groups import log_survey
from logd_consumer_groups.log_survey import LogSurvey

GONE = TopicId(b"g" * 16)


class Counted(Collection[TopicPartition]):
    """What a group has committed, and how often it was gone through."""

    def __init__(self, *where: TopicPartition) -> None:
        self._where = where
        self.walks = 0

    def __iter__(self) -> Iterator[TopicPartition]:
        self.walks += 1
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, where: object) -> bool:
        return where in self._where


def gone(*numbers: int) -> list[TopicPartition]:
    return [TopicPartition(GONE, PartitionId(number)) for number in numbers]


async def test_of_a_topic_that_is_gone_what_was_committed(bench: GroupBench) -> None:
    survey = LogSurvey(bench.view)
    (a,) = bench.view.add_topic("orders", records=1)
    committed = [*gone(0, 5), a]
    asked = [TopicSelection(GONE)]
    assert survey.select(asked, committed) == gone(0, 5)
    asked = [TopicSelection(GONE, (PartitionId(5), PartitionId(7)))]
    assert survey.select(asked, committed) == gone(5)
    asked = [TopicSelection(a.topic_id), TopicSelection(GONE, (PartitionId(0),))]
    assert survey.select(asked, committed) == sorted([a, *gone(0)])


async def test_many_topics_walk_through_what_is_committed_once(bench: GroupBench) -> None:
    """A request of 4 MiB names 190,000, and a group commits some 60,000 partitions."""
    committed = Counted(*gone(0, 1, 2))
    asked = [TopicSelection(GONE)] * 1000
    assert LogSurvey(bench.view).select(asked, committed) == gone(0, 1, 2)
    assert committed.walks == 1


async def test_what_one_request_names_is_bounded(
    bench: GroupBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_survey, "SELECTED_MAX", 3)
    survey = LogSurvey(bench.view)
    assert survey.select([TopicSelection(GONE, (PartitionId(0),))], gone(0)) == gone(0)
    with pytest.raises(Overloaded):
        survey.select([TopicSelection(GONE, (PartitionId(0),) * 3)], gone(0))
