"""What `groups members` and `why` make of what a broker tells."""

from dataclasses import replace

import pytest

from logd.cli.group_members import ADVICE, _member_row, _why_row
from logd.model.group import PartitionLag
from logd.model.ids import Offset, PartitionId
from logd_client.descriptions import GroupConsumer

MEMBER = GroupConsumer(
    consumer_id="m",
    peer="1.2.3.4:5",
    seen_ms=0,
    partitions={"t": (0, 2), "u": (1,)},
    member=True,
    instance_id="",
    client_id="c",
    topics=("t", "u"),
    pattern="v.*",
    assignor="uniform",
    giving_up={"t": (2,)},
    waiting_for={},
    connected=True,
    stalled_ms=0,
)
LAG = PartitionLag(
    topic="t",
    partition=PartitionId(3),
    committed=Offset(7),
    high_watermark=Offset(9),
    log_start_offset=Offset(1),
    lag_records=2,
    lag_bytes=10,
    lag_seconds=1.5,
    rate=None,
    catch_up_seconds=None,
    reason="reading",
)


def test_a_member_s_row() -> None:
    row = _member_row(MEMBER)
    assert row["partitions"] == ["t:0", "t:2", "u:1"] and row["giving_up"] == ["t:2"]
    assert row["subscribes_to"] == ["t", "u", "/v.*/"]


@pytest.mark.parametrize(
    ("member", "state"),
    [
        (MEMBER, "connected"),
        (replace(MEMBER, connected=False), "away"),
        (replace(MEMBER, stalled_ms=61_000), "stalled for 61 s"),
        (replace(MEMBER, member=False, connected=False), "no member"),
    ],
)
def test_what_state_it_is_in(member: GroupConsumer, state: str) -> None:
    assert _member_row(member)["state"] == state


def test_what_to_do_names_the_record() -> None:
    blocked = replace(LAG, reason="blocked on offset 7 for 60 s by m")
    assert "logctl consume t:3 --from 7 -n 1" in _why_row("g", blocked)["advice"]
    beyond = replace(LAG, reason="offset out of range: 9 is committed, the log ends at 7")
    assert "logctl groups reset g --topic t:3 --to-latest" in _why_row("g", beyond)["advice"]


@pytest.mark.parametrize("begins", ADVICE)
def test_every_reason_has_its_advice(begins: str) -> None:
    assert _why_row("g", replace(LAG, reason=f"{begins} ..."))["advice"]
