"""Whether a consumer gets on, for a probe."""

from dataclasses import dataclass

from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.membership import Membership
from logd_client.core.progress_watch import TOLD_MS, ProgressWatch
from logd_client.member_partitions import names_of


@dataclass(frozen=True, slots=True)
class ConsumerHealth:
    """`problems` tells of each thing that stands still, in words; `ok`: there is none. `member_id`
    is None for a consumer that is no member of a group."""

    ok: bool
    problems: tuple[str, ...]
    assigned: tuple[tuple[str, int], ...]
    member_id: str | None


def health_of(
    positions: ConsumerPositions,
    watch: ProgressWatch,
    membership: Membership | None,
    now_ms: int,
) -> ConsumerHealth:
    """As things are now. Partitions without progress for TOLD_MS are a problem."""
    problems = [f"{at.name}: {at.error.message}" for at in positions if at.error is not None]
    standstills = watch.standstills(now_ms, TOLD_MS)
    # Who is busy with one partition takes nothing of the others.
    for each in [each for each in standstills if each.in_hand] or standstills:
        what = "is in hand" if each.in_hand else "is there and is not taken"
        problems.append(f"{each.at.name}: offset {each.offset} {what} for {each.for_ms // 1000} s")
    assigned = tuple(names_of(positions))
    if membership is not None and (away_ms := membership.away_ms(now_ms)):
        problems.append(f"no session with the group's coordinator for {away_ms // 1000} s")
    if not assigned:
        problems.append("nothing is assigned to it")
    return ConsumerHealth(
        ok=not problems,
        problems=tuple(problems),
        assigned=assigned,
        member_id=None if membership is None else membership.member_id,
    )
