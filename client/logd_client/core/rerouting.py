"""What becomes of buffered records when a topic changes: its partitions, or how much it takes."""

from collections.abc import Sequence

from logd.model.batch_encoder import Headers
from logd_client.core.accumulator import Accumulator
from logd_client.core.open_batch import RECORD_OVERHEAD_BYTES, OpenBatch
from logd_client.core.partition_lane import ClosedBatch, PartitionLane
from logd_client.core.producer_batch import ProducerBatch
from logd_client.core.topic_lanes import Routing, TopicLanes, headers_bytes


def reroute(
    topic: TopicLanes, routing: Routing, accumulator: Accumulator
) -> Sequence[ProducerBatch]:
    """Take on new metadata, and move records whose key another partition takes now, or whose batch
    is larger than the topic takes now: they go into smaller ones.

    Only while no batch of the topic is in flight, right after the accumulator was drained, under
    its rule. Records of a key keep their order: all that are buffered move before any is added
    under the new metadata. In each lane the batches up to the last one in doubt stay as they are,
    because the broker may know them by their number, and so do those before the first that is too
    large or has a record for elsewhere. Records without a key, and such as name their partition,
    stay in it. What moves ends up in new batches in the lanes' queues.

    If the topic is another one of the same name, its lanes start anew: gives the batches in doubt,
    which are lost with the old one; all else moves.
    """
    for lane in topic.lanes:
        if lane.open is not None:
            lane.queue.append(lane.end_open()[1])
    old_lanes, old = list(topic.lanes), topic.routing
    recreated = routing.topic_id != old.topic_id
    if recreated:
        topic.lanes = []
    topic.route(routing)
    if routing.partitioning_epoch > old.partitioning_epoch:
        for lane in topic.lanes:
            lane.reroutes = 0
    lost: list[ProducerBatch] = []
    movers: list[ClosedBatch] = []
    for lane in old_lanes:
        if recreated:
            lost += [batch for batch in lane.batches() if batch.in_doubt]
            moves = [batch for batch in lane.batches() if not batch.in_doubt]
        else:
            moves = _movers(lane, topic)
        movers += [(lane, batch) for batch in moves]
    for lane, batch in movers:
        lane.remove(batch, appended=False)
    _Mover(topic, accumulator).move([batch for _, batch in movers])
    return lost


def _movers(lane: PartitionLane, topic: TopicLanes) -> list[ProducerBatch]:
    """From the first batch after those in doubt that is too large or has a record for elsewhere:
    all."""
    batches = lane.batches()
    doubts = [at for at, batch in enumerate(batches) if batch.in_doubt]
    stays = doubts[-1] + 1 if doubts else 0
    for batch in batches[:stays]:
        batch.pin_all()  # later records of its keys go elsewhere from now on: it must not follow
    free = batches[stays:]
    for at, batch in enumerate(free):
        too_large = batch.record_count > 1 and batch.reserved_bytes > topic.record_bytes_max
        if too_large or any(target != lane.partition for target in _targets(batch, topic)):
            return free[at:]
    return []


def _targets(batch: ProducerBatch, topic: TopicLanes) -> list[int]:
    """The partition of each record under the topic's present routing."""
    batch.unpack()
    here, routing = batch.partition, topic.routing
    stays = here if here in routing.open_partitions else routing.open_partitions[0]
    keys, pinned = batch.keys, batch.pinned or ()
    if keys is None:
        return [stays] * batch.record_count
    partition_of = routing.router.partition_of
    return [
        here
        if at in pinned and here < routing.partitions
        else stays
        if key is None
        else partition_of(key)
        for at, key in enumerate(keys)
    ]


class _Mover:
    """Fills new batches, one after another in each lane, from records of old ones."""

    def __init__(self, topic: TopicLanes, accumulator: Accumulator) -> None:
        self._topic = topic
        self._accumulator = accumulator
        self._filling: dict[PartitionLane, OpenBatch] = {}

    def move(self, movers: Sequence[ProducerBatch]) -> None:
        for origin in movers:
            targets = _targets(origin, self._topic)
            places = [
                self._place(origin, at, self._topic.lanes[target])
                for at, target in enumerate(targets)
            ]
            self._accumulator.release([origin])
            origin.move(places)
        for lane, filling in self._filling.items():
            lane.queue.append(filling.close())

    def _place(
        self, origin: ProducerBatch, at: int, lane: PartitionLane
    ) -> tuple[ProducerBatch, int]:
        value, key = origin.values[at], origin.keys[at] if origin.keys else None
        headers: Headers = origin.headers[at] if origin.headers else ()
        size = RECORD_OVERHEAD_BYTES + len(value or b"") + len(key or b"") + headers_bytes(headers)
        time_ms = origin.times.at(at)
        filling = self._filling.get(lane)
        if filling is None or not filling.fits(size) or filling.batch.opened_ms != origin.opened_ms:
            if filling is not None:
                lane.queue.append(filling.close())
            filling = self._accumulator.new_batch(lane, origin.opened_ms, time_ms)
            self._filling[lane] = filling
        filling.force(size)
        filling.append(size, value, key, headers, time_ms, exact=True)
        index = len(filling.values) - 1
        if origin.pinned and at in origin.pinned:
            filling.batch.pin((index,))
        return filling.batch, index
