from pathlib import Path

import pytest

from logd.cli.error_report import BadUsage
from logd.cli.group_reset import _target, read_plan
from logd.cli.invocation import Invocation
from logd.cli.output import Output
from logd.cli.parsed_type import TopicPartitions, partitions_by_topic
from logd_client.descriptions import ResetTarget

FORMS = (
    "to_earliest",
    "to_latest",
    "to_current",
    "to_offset",
    "to_datetime",
    "by_duration",
    "shift_by",
    "to_group",
    "from_file",
)
PLAN = [("orders", 0, 5), ("orders", 1, 9)]


@pytest.mark.parametrize(
    "text",
    [
        "orders,0,5\n\norders,1,9\n",
        '{"items": [{"topic": "orders", "partition": 0, "from_offset": 1, "to_offset": 5}, '
        '{"topic": "orders", "partition": 1, "to_offset": 9}], "executed": false}',
        '{"topic": "orders", "partition": 0, "offset": 5}\n'
        '{"topic": "orders", "partition": 1, "offset": 9}\n',
        '[["orders", 0, 5], ["orders", 1, 9]]',
    ],
)
def test_a_plan_in_each_of_its_forms(tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan"
    file.write_text(text)
    assert read_plan(file) == PLAN


@pytest.mark.parametrize(
    "text", ["orders", "orders,0,x", "{", '{"items": [{"topic": "a"}]}', "[1]", "\xff\xfe"]
)
def test_what_is_no_plan(tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan"
    file.write_text(text, "latin-1")
    with pytest.raises(BadUsage, match="is no plan"):
        read_plan(file)


def test_partitions_of_one_topic_join_and_the_whole_topic_wins() -> None:
    one, two, whole = (
        TopicPartitions("a", (1,)),
        TopicPartitions("a", (0,)),
        TopicPartitions("a", ()),
    )
    assert partitions_by_topic((one, two)) == {"a": [0, 1]}
    assert partitions_by_topic((one, whole)) == partitions_by_topic((whole, one)) == {"a": []}


def chosen(**given: object) -> ResetTarget:
    forms: dict[str, object] = {**dict.fromkeys(FORMS), "to_earliest": False, **given}
    return _target(Invocation(Output()), forms)


def test_offset_0_is_a_place_like_any_other() -> None:
    assert chosen(to_offset=0) == ResetTarget.at_offset(0)
    assert chosen(shift_by=0) == ResetTarget.shift_by(0)


def test_by_record_time_belongs_to_times_alone() -> None:
    def by(which: str, **given: object) -> ResetTarget:
        return _target(Invocation(Output()), {**dict.fromkeys(FORMS), **given}, which)

    at = "1970-01-01T00:00:01"
    assert by("record-time", to_datetime=at) == ResetTarget.at_record_time(1000)
    assert by("append-time", to_datetime=at) == ResetTarget.at_time(1000)
    assert by("record-time", by_duration=60) == ResetTarget.by_record_duration(60)
    assert by("append-time", by_duration=60) == ResetTarget.by_duration(60)
    for form in FORMS:
        if form not in ("to_datetime", "by_duration"):
            with pytest.raises(BadUsage, match="--by says which time"):
                by("record-time", **{form: 1})


def test_no_form_and_two_are_refused() -> None:
    with pytest.raises(BadUsage, match="exactly one of --to-earliest, --to-latest"):
        chosen()
    with pytest.raises(BadUsage, match="exactly one of --to-earliest, --to-offset"):
        chosen(to_earliest=True, to_offset=0)
