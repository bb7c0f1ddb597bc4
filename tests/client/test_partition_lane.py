import itertools

import pytest

from logd.sim.seeded_random import SeededRandom
from logd_client.core.backoff import Backoff
from logd_client.core.partition_lane import (
    SETTLING,
    TRANSITIONS,
    LaneEvent,
    LaneState,
    PartitionLane,
    follows,
)

S, E = LaneState, LaneEvent
WAITING = {S.BACKING_OFF: E.WAITED, S.REROUTING: E.REROUTED, S.IDENTIFYING: E.IDENTIFIED}


def lane_in(state: LaneState) -> PartitionLane:
    lane = PartitionLane(None, 0, Backoff(1, 1, SeededRandom()))  # type: ignore[arg-type]
    lane.state = state
    return lane


@pytest.mark.parametrize("state, event", list(itertools.product(S, E)))
def test_every_pair_leads_where_the_table_says_or_cannot_happen(
    state: LaneState, event: LaneEvent
) -> None:
    lane = lane_in(state)
    if (state, event) not in TRANSITIONS:
        with pytest.raises(AssertionError, match=event.name):
            lane.on(event)
        assert event in (E.WAITED, E.REROUTED, E.IDENTIFIED)
        return
    lane.on(event)
    after = lane.state
    assert after is TRANSITIONS[state, event]
    if event in (E.RETRY, E.STALE, E.GAP):
        assert after is not S.FLOWING, "a lane with a problem does not go on as if it had none"
    if event is E.SETTLED:
        assert after not in SETTLING
    if event is E.GAP:
        assert after in (S.SETTLING_TO_IDENTIFY, S.IDENTIFYING), "nothing else mends a gap"
    if after is S.FLOWING and state is not S.FLOWING:
        assert event is WAITING[state], "a lane flows again only when what it waits for has come"


@pytest.mark.parametrize("state", list(S))
def test_no_state_is_a_trap(state: LaneState) -> None:
    lane = lane_in(state)
    if lane.state in SETTLING:
        lane.on(E.SETTLED)
    if lane.state is not S.FLOWING:
        lane.on(WAITING[lane.state])
    assert lane.state is S.FLOWING


def test_sequences_count_round() -> None:
    last = (1 << 31) - 1
    assert follows(1, 0) and follows(0, last) and follows(5, last - 5)
    assert not follows(0, 0) and not follows(last, 0) and not follows(0, 1)
