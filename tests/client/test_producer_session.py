"""The whole core of the producer against a broker in memory, with everything going wrong."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.producer_world import (
    DELIVERY_TIMEOUT_MS,
    KEYS,
    TAKEN_LEAST_BYTES,
    TAKEN_MOST_BYTES,
    TOPIC,
    ProducerWorld,
)
from logd.model.batch_codecs import compress
from logd.model.batch_decoder import decode_batch
from logd.model.errors import (
    AckTimeout,
    BrokerDraining,
    CorruptBatch,
    DeliveryTimeout,
    LogdError,
    NotEnoughReplicas,
    StorageFull,
)
from logd.model.record_batch import Codec

STEPS: dict[str, Callable[[ProducerWorld], None]] = {
    "add a": lambda world: world.add(KEYS[0]),
    "add b": lambda world: world.add(KEYS[1]),
    "add c": lambda world: world.add(KEYS[2]),
    "add many": ProducerWorld.add_many,
    "add to 0": lambda world: world.add(partition=0),
    "send": lambda world: world.send(),
    "send all": lambda world: world.send(everything=True),
    "compressed": lambda world: world.compressed(),
    "not compressed": lambda world: world.compressed(failed=True),
    "deliver": lambda world: world.deliver(),
    "deliver all": ProducerWorld.deliver_all,
    "refuse": lambda world: world.deliver(lambda: NotEnoughReplicas("too few")),
    "drain": lambda world: world.deliver(lambda: BrokerDraining("stopping")),
    "time out": lambda world: world.deliver(lambda: AckTimeout("slow")),
    "reject": lambda world: world.deliver(lambda: StorageFull("no room")),
    "take less": lambda world: world.take(TAKEN_LEAST_BYTES),
    "take more": lambda world: world.take(TAKEN_MOST_BYTES),
    "corrupt": lambda world: world.deliver(lambda: CorruptBatch("bits")),
    "acknowledge": lambda world: world.acknowledge(),
    "acknowledge another": lambda world: world.acknowledge(1),
    "acknowledge all": ProducerWorld.acknowledge_all,
    "cut": lambda world: world.cut(),
    "miss": lambda world: world.miss(),
    "haunt": lambda world: world.haunt(),
    "reply": lambda world: world.reply(),
    "wait": lambda world: world.wait(6),
    "wait long": lambda world: world.wait(300),
    "expire": lambda world: world.wait(DELIVERY_TIMEOUT_MS + 1),
    "forget": lambda world: world.broker.forget_producers(TOPIC),
    "add a partition": lambda world: world.broker.add_partitions(
        TOPIC, min(6, len(world.broker.topics[TOPIC].partitions) + 1)
    ),
}
CODECS = st.sampled_from([Codec.NONE, Codec.LZ4])
MILD = sorted(set(STEPS) - {"reject", "corrupt", "forget", "take less"})


def lives(names: list[str]) -> st.SearchStrategy[list[str]]:
    """Long runs of a few kinds of step each: so rare coincidences come about."""
    some = st.sets(st.sampled_from(names), min_size=3, max_size=9).map(sorted)
    busy = ["add many", "send all", "compressed", "deliver", "acknowledge"]
    return some.flatmap(
        lambda kinds: st.lists(st.sampled_from(kinds + busy), min_size=25, max_size=120)
    )


def live(steps: list[str], delivery_timeout_ms: int, codec: Codec = Codec.NONE) -> ProducerWorld:
    world = ProducerWorld(delivery_timeout_ms, codec)
    world.add_many()
    world.send(everything=True)
    world.reply()
    for step in steps:
        STEPS[step](world)
    world.finish()
    while world.ghosts:
        world.haunt()
    return world


@settings(max_examples=200, deadline=None)
@given(lives(sorted(STEPS)), CODECS)
def test_whatever_happens_outcomes_are_true_and_order_is_kept(
    steps: list[str], codec: Codec
) -> None:
    live(steps, DELIVERY_TIMEOUT_MS, codec).check()


@settings(max_examples=200, deadline=None)
@given(lives(MILD), CODECS)
def test_without_a_loss_at_the_broker_or_a_time_out_every_record_arrives(
    steps: list[str], codec: Codec
) -> None:
    world = live(steps, 1 << 40, codec)
    assert world.check() == (len(world.sent), 0)


def test_a_batch_that_is_compressed_apart_is_sent_once_it_is_there_and_holds_up_its_lane() -> None:
    world = ProducerWorld(codec=Codec.LZ4)
    world.add(partition=0)
    world.send(everything=True)
    world.reply()
    world.add(partition=0)
    world.send(everything=True)
    world.add(partition=1)
    world.send(everything=True)
    assert not world.requests and len(world.compressing) == 3
    (second, body), (third, _) = world.compressing.pop(1), world.compressing.pop(1)
    second.end_compressing(compress(body, Codec.LZ4), Codec.LZ4)
    world.session.compressed(second)
    world.send()
    assert not world.requests, "the batch before it in its partition is not there yet"
    world.compressed()
    world.send()
    assert [decode_batch(entry.batch).values for entry in world.requests] == [[b"0"], [b"1"]]
    third.end_compressing(None, Codec.LZ4)
    world.session.compressed(third)
    world.send()
    assert decode_batch(world.requests[2].batch).values == [b"2"]


def test_numbers_of_a_refused_batch_are_used_again_without_a_new_epoch() -> None:
    world = live(["add many", "send all", "reject", "deliver all"], 1 << 40)
    succeeded, unknown = world.check()
    assert 0 < succeeded < len(world.sent) and unknown == 0
    assert world.session.identity == (1001, 0)


def failed(world: ProducerWorld) -> list[LogdError]:
    outcomes = [batch.outcome_of(index)[2] for _, batch, index in world.sent]
    return [outcome for outcome in outcomes if isinstance(outcome, LogdError)]


def test_what_was_given_to_a_stream_that_never_came_to_be_is_certain_not_to_be_written() -> None:
    steps = ["deliver all", "acknowledge all", "cut", "add many", "send all", "miss", "expire"]
    world = live(steps, DELIVERY_TIMEOUT_MS)
    errors = failed(world)
    assert errors and {type(error) for error in errors} == {DeliveryTimeout}
    assert world.check()[1] == 0, "no outcome is unknown"


def test_behind_a_batch_whose_time_was_up_nothing_is_said_of_the_broker() -> None:
    """It may have lost nothing, and be merely away."""
    world = ProducerWorld(1_000)
    for _ in range(3):
        world.add(KEYS[0])
        world.send(everything=True)
        world.wait(300)
    world.cut()
    world.wait(200)  # the first one's time is up, not the others'
    world.cut()
    errors = failed(world)
    world.finish()
    world.check()
    assert errors and {type(error) for error in errors} == {DeliveryTimeout}


def test_a_lane_with_a_new_epoch_waits_for_its_topics_metadata() -> None:
    """Else it would have batches in flight while records are moved."""
    stale = ["add a partition", "add many", "send all", "deliver all"]
    answered = ["acknowledge another", "acknowledge another", "acknowledge another", "expire"]
    live([*stale, *answered, "reply", "add many", "wait long", "send", "reply"], 5_000).check()


def test_records_of_a_batch_that_became_too_large_are_sent_in_smaller_ones() -> None:
    world = live(["add many", "send all", "take less", "deliver all", "add many"], 1 << 40)
    assert world.check() == (len(world.sent), 0)
    assert world.session.identity == (1001, 0)


def test_a_batch_in_doubt_that_became_too_large_fails_whole_with_its_outcome_unknown() -> None:
    """The broker may know it by its number, and refuses before it looks."""
    steps = ["add many", "send all", "deliver", "cut", "send all", "take less", "deliver all"]
    world = live(steps, 1 << 40)
    assert world.check() == (0, len(world.sent))
