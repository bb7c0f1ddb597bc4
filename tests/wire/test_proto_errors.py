"""Whatever an error says, its status fits into what gRPC carries, and keeps its reason."""

import base64
from urllib.parse import quote

import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import ERRORS, LogdError, UnknownTopic
from logd.wire.proto_errors import (
    STATUS_BYTES_MAX,
    to_proto_error,
    to_status,
)

METADATA_BYTES_MAX = 8192


def status_of(error: LogdError) -> status_pb2.Status:
    status = rpc_status.to_status(to_status(error))
    ((key, value),) = status.trailing_metadata
    assert key == "grpc-status-details-bin"
    assert len(value) <= STATUS_BYTES_MAX
    header_bytes = len(quote(status.details)) + len(base64.b64encode(value))
    assert header_bytes < METADATA_BYTES_MAX - 200, "gRPC's own headers need room too"
    return status_pb2.Status.FromString(value)


def test_reason_message_and_details_travel() -> None:
    error = UnknownTopic("topic 'a' does not exist", topic="a", hint=None)
    status = status_of(error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "UNKNOWN_TOPIC",
        "logd",
        {"topic": "a"},
    )
    assert status.message == error.message
    proto = to_proto_error(error)
    assert (proto.reason, proto.message, dict(proto.details)) == (
        "UNKNOWN_TOPIC",
        error.message,
        {"topic": "a"},
    )


@pytest.mark.parametrize("text", ["x" * 100_000, "ü" * 50_000, "\U0001f4a5" * 50_000, "\n" * 9999])
def test_huge_texts_are_cut_on_a_character(text: str) -> None:
    error = UnknownTopic(text, **{f"detail_{n}": text for n in range(50)})
    status = status_of(error)
    assert text.startswith(status.message) and len(status.message) > 100
    assert to_proto_error(error).ByteSize() <= STATUS_BYTES_MAX


def test_names_of_files_may_be_no_unicode() -> None:
    path = b"/data/\xff\xfe".decode("utf-8", "surrogateescape")
    status = status_of(LogdError(f"cannot read {path}", path=path))
    assert status.message == "cannot read /data/??"
    assert to_proto_error(LogdError(path)).message == "/data/??"


@given(
    st.sampled_from(sorted(ERRORS)),
    st.text(st.characters(), max_size=3000),
    st.dictionaries(st.text("abc_", min_size=1, max_size=20), st.text(st.characters())),
)
def test_no_error_breaks_its_status(reason: str, text: str, details: dict[str, str]) -> None:
    error = ERRORS[reason](text)
    error.details = details
    status_of(error)
    assert to_proto_error(error).reason == reason
