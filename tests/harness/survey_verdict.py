"""Holds what a survey saw against what was sent: never wrong data, never silence."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from harness.directory_survey import DirectorySurvey, LogSurvey
from harness.prepared_data import LOG_START, PreparedData
from logd.model.errors import InvalidConfig, LogdError, StoredDataCorrupt, UnsupportedVersion

Verdict = Literal["unseen", "repaired", "reported", "cut", "refused"]
"""What became of some damage: nobody sees any of it; a check sees it, and clients nothing; the
reader is told which offsets are lost; a torn tail was cut and that is told; no start."""


@dataclass(frozen=True)
class Touched:
    """Which offsets of which topic the damage may have cost; none where it hit a derived file."""

    topic: str = ""
    offsets: range = range(0)


def judge_survey(prepared: PreparedData, survey: DirectorySurvey, touched: Touched) -> Verdict:
    """Raises AssertionError where clients were told something wrong, or nothing."""
    if survey.refused is not None:
        _check_refusal(survey.refused)
        return "refused"
    assert survey.topics == prepared.topics
    assert survey.producer_id not in prepared.producer_ids, "ids are never given out again"
    verdicts = {_judge_log(prepared, survey, topic, touched) for topic in survey.logs}
    for verdict in ("reported", "cut"):
        if verdict in verdicts:
            return verdict
    return "repaired" if survey.checked.findings else "unseen"


def judge_next_start(first: DirectorySurvey, second: DirectorySurvey) -> None:
    """What the first start served and took, the second serves too."""
    assert (second.refused is None) == (first.refused is None)
    for topic, before in first.logs.items():
        after = second.logs[topic]
        assert [each for each in after.records if each in before.records] == before.records
        assert before.reread[0] in after.records
        assert [gap[:2] for gap in after.gaps] == [gap[:2] for gap in before.gaps]
        assert isinstance(before.appended, int) and isinstance(after.appended, int)
        assert after.appended > before.appended
        if isinstance(before.committed, int):
            assert after.committed == before.committed


def _check_refusal(error: LogdError) -> None:
    """Damage can make a file look newer; it is refused all the same."""
    assert isinstance(error, StoredDataCorrupt | UnsupportedVersion | InvalidConfig), repr(error)
    named = ("format.json", "metadata.sqlite", "layout version", "belongs to cluster")
    assert any(name in error.message for name in named), error.message


def _judge_log(
    prepared: PreparedData, survey: DirectorySurvey, topic: str, touched: Touched
) -> Verdict:
    log, sent = survey.logs[topic], prepared.records[topic]
    assert log.error is None, f"{topic} does not open: {log.error!r}"
    assert log.leader_epoch > prepared.leader_epoch, "every start raises it"
    lost_tail = _lost_tail(prepared, survey, topic)
    start = LOG_START if topic == "rolled" else 0
    if log.start != start:
        assert log.start < start and _reasons(survey, "RECOVERY_POINTS_LOST"), log.start
    assert log.end <= len(sent)
    in_gaps = {offset for first, end, _ in log.gaps for offset in range(first, end)}
    read = [record.offset for record in log.records]
    assert read == sorted(set(range(log.start, log.end)) - in_gaps), "every offset, once, in order"
    assert log.records == [sent[offset] for offset in read], "what was sent"
    for first, end, error in log.gaps:
        _check_gap(survey, touched, topic, range(first, end), error)
    _check_committed(prepared, survey, topic)
    _check_times(prepared, log, topic, touched)
    _check_appends(prepared, log, topic, lost_tail)
    return "reported" if log.gaps else "cut" if lost_tail else "repaired"


def _lost_tail(prepared: PreparedData, survey: DirectorySurvey, topic: str) -> bool:
    """Whether acknowledged records at the end are gone: only after a kill, and told."""
    if survey.logs[topic].end == len(prepared.records[topic]):
        return False
    assert prepared.killed, "a clean stop knows its end"
    told = _reasons(survey, "POSSIBLE_LOSS", "STORED_DATA_CORRUPT")
    assert told, "acknowledged records were cut off in silence"
    return True


def _check_gap(
    survey: DirectorySurvey, touched: Touched, topic: str, gap: range, error: LogdError
) -> None:
    assert isinstance(error, StoredDataCorrupt), repr(error)
    assert topic == touched.topic and set(gap) <= set(touched.offsets), f"{gap} was not touched"
    segment = error.details["segment"]
    partition = f"{segment.rpartition(f'/{topic}-0')[0]}/{topic}-0"
    assert any(
        segment == problem.resource or segment in problem.message
        for problem in survey.problems
        if problem.severity == "error" and problem.reason == "STORED_DATA_CORRUPT"
    ), f"health is silent about {segment}: {survey.problems}"
    found = [each for each in survey.checked.findings if each.path.startswith(partition)]
    assert found and survey.checked.is_damaged, "verify is silent"
    assert any(finding.offset in touched.offsets for finding in found if finding.offset is not None)


def _check_committed(prepared: PreparedData, survey: DirectorySurvey, topic: str) -> None:
    committed = survey.logs[topic].committed
    if isinstance(committed, LogdError):
        assert isinstance(committed, StoredDataCorrupt), repr(committed)
        assert survey.checked.is_damaged and _reasons(survey, "STORED_DATA_CORRUPT")
    elif committed != prepared.committed[topic][-1]:
        assert prepared.killed and committed in (None, *prepared.committed[topic])
        assert _reasons(survey, "POSSIBLE_LOSS"), "a commit was cut off in silence"


def _check_times(prepared: PreparedData, log: LogSurvey, topic: str, touched: Touched) -> None:
    """A place found by time is the first record that qualifies, or damage before it that may."""
    damaged = {offset for first, end, _ in log.gaps for offset in range(first, end)}
    if topic == touched.topic:
        damaged |= set(touched.offsets)
    for (by_append_time, time_ms), found in zip(prepared.lookups(topic), log.found, strict=True):
        if isinstance(found, LogdError):
            assert isinstance(found, StoredDataCorrupt) and log.gaps, repr(found)
            continue
        times = (
            prepared.appended_ms[topic]
            if by_append_time
            else [record.timestamp_ms for record in prepared.records[topic]]
        )
        offsets = range(log.start, log.end)
        expected = next((each for each in offsets if times[each] >= time_ms), log.end)
        in_doubt = found.timestamp_ms is None and found.offset in damaged
        assert found.offset == expected or (in_doubt and found.offset < expected), (found, expected)


def _check_appends(prepared: PreparedData, log: LogSurvey, topic: str, lost_tail: bool) -> None:
    """A retry is never a second copy that is read; what is appended takes no offset of what was
    acknowledged."""
    end = len(prepared.records[topic])
    first = prepared.last_offset(topic)
    kept = {record.offset for record in log.records} & set(range(first, end))
    retried = log.retried
    if isinstance(retried, LogdError):
        assert (log.gaps or lost_tail) and retried.reason in (
            "UNKNOWN_PRODUCER",
            "OUT_OF_ORDER_SEQUENCE",
        )
    elif not retried.duplicate:
        assert not kept and retried.offset == log.end, "a retry was appended a second time"
    else:
        assert retried.offset == first
    assert isinstance(log.appended, int), repr(log.appended)
    assert log.appended >= (log.end if lost_tail else end)
    [record] = log.reread
    assert (record.offset, record.value) == (log.appended, b"appended")


def _reasons(survey: DirectorySurvey, *reasons: str) -> Iterable[str]:
    return [problem.reason for problem in survey.problems if problem.reason in reasons]
