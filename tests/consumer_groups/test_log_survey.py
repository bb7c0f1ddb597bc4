"""What a selection of topics and partitions selects."""

from harness.group_bench import GroupBench
from logd.model.group import Consumer, TopicSelection
from logd.model.ids import PartitionId


async def test_of_a_topic_that_is_gone_the_committed_partitions_are_selected(
    bench: GroupBench,
) -> None:
    a, b = bench.view.add_topic("orders", 2, records=10)
    await bench.commit("g", {a: 1, b: 2})
    bench.view.drop_topic(a)
    for partitions, offsets in [((), [1, 2]), ((b.partition,), [2]), ((PartitionId(7),), [])]:
        asked = TopicSelection(a.topic_id, partitions)
        found = await bench.groups.fetch_offsets("g", [asked], Consumer())
        assert [o.offset for o in found.offsets] == offsets
