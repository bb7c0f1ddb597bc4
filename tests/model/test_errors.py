"""The error table holds together: every row complete, and exit statuses as documented."""

import copy
import traceback

import grpc
import pytest

import logd.errors
from logd.model.errors import ERRORS, LogdError, error_from_reason

ALL = sorted(ERRORS.items())

EXIT_STATUS = {
    2: "INVALID_NAME INVALID_TIMESTAMP INVALID_CONFIG UNSUPPORTED_CODEC UNSUPPORTED_VERSION "
    "INCONSISTENT_TOPIC_ID RECORD_TOO_LARGE",
    3: "UNKNOWN_TOPIC UNKNOWN_PARTITION UNKNOWN_GROUP OFFSET_OUT_OF_RANGE",
    4: "INVALID_CREDENTIALS ACL_DENIED",
    7: "OVERLOADED QUOTA_EXCEEDED STORAGE_FULL BUFFER_FULL",
    8: "STORED_DATA_CORRUPT CORRUPT_BATCH UNDECODABLE_BATCH",
}


@pytest.mark.parametrize(("reason", "cls"), ALL)
def test_row_is_complete(reason: str, cls: type[LogdError]) -> None:
    assert issubclass(cls, LogdError) and cls.reason == reason
    assert reason == reason.upper() and reason.replace("_", "").isalnum()
    assert "".join(word.capitalize() for word in reason.split("_")) == cls.__name__
    assert cls.__doc__ and cls.__doc__.strip().endswith(".") and len(cls.__doc__) < 400
    assert cls.client_does
    assert 1 <= cls.exit_status <= 8
    if cls.code is not None:
        assert cls.code in grpc.StatusCode.__members__ and cls.code not in ("OK", "UNKNOWN")


@pytest.mark.parametrize(("reason", "cls"), ALL)
def test_comes_back_from_the_wire(reason: str, cls: type[LogdError]) -> None:
    error = error_from_reason(reason, "what, where, what to try", {"limit": "5"})
    assert type(error) is cls
    assert str(error) == error.message == "what, where, what to try"
    assert error.details == {"limit": "5"} and error.args == (error.message,)


def test_a_reason_of_a_newer_broker() -> None:
    error = error_from_reason("NOT_INVENTED_YET", "message", {"a": "b"})
    assert type(error) is LogdError and not error.retriable
    assert str(error) == "NOT_INVENTED_YET: message" and error.details == {"a": "b"}


def test_details_are_strings_and_none_is_left_out() -> None:
    error = LogdError("message", limit=5, field=None, partition=0)
    assert error.details == {"limit": "5", "partition": "0"}


@pytest.mark.parametrize(("status", "reasons"), EXIT_STATUS.items())
def test_exit_statuses(status: int, reasons: str) -> None:
    of_status = {reason for reason, cls in ALL if cls.exit_status == status}
    assert of_status == set(reasons.split())


def test_codes_that_promise_a_retry() -> None:
    for reason, cls in ALL:
        if cls.code == "UNAVAILABLE":
            assert cls.retriable, reason
        if cls.code in ("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "DATA_LOSS"):
            assert not cls.retriable and not cls.outcome_unknown, reason


def test_a_reason_cannot_stand_twice() -> None:
    with pytest.raises(AssertionError, match="UNKNOWN_TOPIC stands twice"):
        type("Second", (LogdError,), {"reason": "UNKNOWN_TOPIC"})


def test_a_subclass_without_a_reason_joins_no_table() -> None:
    before = dict(ERRORS)
    type("Refined", (ERRORS["CONFLICT"],), {})
    assert before == ERRORS


@pytest.mark.parametrize(("reason", "cls"), ALL)
def test_survives_a_copy(reason: str, cls: type[LogdError]) -> None:
    error = copy.copy(error_from_reason(reason, "m", {"offset": "3"}))
    assert type(error) is cls and str(error) == "m" and error.details == {"offset": "3"}


@pytest.mark.parametrize("cls", [LogdError, *(cls for _, cls in ALL)])
def test_prints_under_the_name_that_users_import(cls: type[LogdError]) -> None:
    error = cls("it failed", offset=3)
    (line,) = traceback.format_exception_only(error)
    assert line == f"logd.errors.{cls.__name__}: it failed\n"
    assert getattr(logd.errors, cls.__name__) is cls
