"""What topics hold, of open logs and of closed ones."""

from pathlib import Path

from harness.door_bench import DoorBench, door_bench
from logd_proto.v1 import topics_pb2 as pb

Sizes = dict[str, tuple[int | None, int | None, float]]


async def sizes(bench: DoorBench) -> Sizes:
    answer = await bench.call("TopicService/ListTopics", pb.ListTopicsRequest(with_sizes=True))
    assert len(answer.sizes) == len(answer.topics)
    return {
        topic.name: (
            size.records if size.HasField("records") else None,
            size.size_bytes if size.HasField("size_bytes") else None,
            size.append_rate,
        )
        for topic, size in zip(answer.topics, answer.sizes, strict=True)
    }


def opened(bench: DoorBench) -> int:
    """How many logs are open."""
    return len(bench.data_service._partitions.all_hosted())


async def run_pass(bench: DoorBench) -> None:
    await bench.local.broker._maintenance.run_pass()


async def test_sizes_are_given_only_where_they_are_asked_for(tmp_path: Path) -> None:
    async with door_bench(tmp_path) as bench:
        await bench.topic("orders")
        answer = await bench.call("TopicService/ListTopics", pb.ListTopicsRequest())
        assert len(answer.topics) == 1 and not answer.sizes
        assert await sizes(bench) == {"orders": (0, 0, 0.0)}


async def test_the_rate_is_of_about_the_last_minute(tmp_path: Path) -> None:
    async with door_bench(tmp_path) as bench:
        await bench.topic("orders", 2)
        await bench.topic("idle")
        bench.clock.advance(10_000)
        await bench.produce("orders", *[b"x"] * 50)
        bench.clock.advance(10_000)
        assert (await sizes(bench))["orders"][2] == 50 / 20
        for _ in range(2):
            await run_pass(bench)
            bench.clock.advance(30_000)
        assert (await sizes(bench))["orders"][2] == 50 / 80
        await bench.produce("orders", *[b"x"] * 90)
        await run_pass(bench)
        await run_pass(bench)  # too soon for another mark
        found = await sizes(bench)
        assert found["orders"][0] == 140 and found["orders"][2] == 90 / 30
        assert found["idle"] == (0, 0, 0.0)
        for _ in range(2):
            bench.clock.advance(30_000)
            await run_pass(bench)
        assert (await sizes(bench))["orders"][2] == 0.0


async def test_closed_logs_tell_their_size_and_stay_closed(tmp_path: Path) -> None:
    async with door_bench(tmp_path) as bench:
        await bench.topic("small", 2)
        await bench.topic("rolled", segment_bytes="1MiB")
        await bench.topic("never")
        await bench.produce("small", *[b"x"] * 50)
        for _ in range(3):
            await bench.produce("rolled", b"x" * 700_000)
        before = await sizes(bench)
        assert before["small"][0] == 50 and before["rolled"][0] == 3
    async with door_bench(tmp_path) as bench:
        held, bench_size = opened(bench), await sizes(bench)
        assert opened(bench) == held
        assert bench_size["small"] == (50, before["small"][1], 0.0)
        assert bench_size["rolled"] == (3, None, 0.0)  # its sealed segments were not looked at
        assert bench_size["never"] == (0, 0, 0.0)
        await run_pass(bench)
        assert opened(bench) > held
        assert (await sizes(bench))["rolled"][:2] == before["rolled"][:2]


async def test_of_a_log_that_is_not_known_nothing_is_said(tmp_path: Path) -> None:
    async with door_bench(tmp_path) as bench:
        await bench.topic("orders")
        await bench.topic("never")
        await bench.produce("orders", b"x")
    (tmp_path / "data" / "recovery-points").unlink()
    async with door_bench(tmp_path) as bench:  # reads all logs at its start
        found = await sizes(bench)
        assert (found["orders"][0], found["never"]) == (1, (0, 0, 0.0))
    (tmp_path / "data" / "recovery-points").unlink()
    for file in (tmp_path / "data" / "orders-0").iterdir():
        if file.suffix != ".log":
            file.write_text("{")
    async with door_bench(tmp_path) as bench:  # nothing tells whose that directory is
        found = await sizes(bench)
        assert found["orders"] == found["never"] == (None, None, 0.0)
