"""LogdErrors on the wire and back: per entry as `logd.v1.Error`, per call as rich status with
ErrorInfo.

Messages and details quote what clients sent, so they are cut here: whatever stands in an error, its
status fits into gRPC's 8 KiB of metadata. The message travels twice, once as a header where every
byte that is not printable ASCII takes three, and once in the status, which is sent as base64.
"""

from collections.abc import Mapping

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from logd.model.errors import LogdError, error_from_reason
from logd_proto.v1 import common_pb2

DOMAIN = "logd"
STATUS_BYTES_MAX = 3072
"""Base64 makes 4 KiB of it; above 8 KiB of metadata gRPC fails now and then."""
MESSAGE_BYTES_MAX = 1000
DETAIL_BYTES_MAX = 200
DETAILS_MAX = 7
DETAIL_NAME_BYTES_MAX = 60
assert (
    MESSAGE_BYTES_MAX + DETAILS_MAX * (DETAIL_BYTES_MAX + DETAIL_NAME_BYTES_MAX) < STATUS_BYTES_MAX
)


def to_proto_error(error: LogdError) -> common_pb2.Error:
    return common_pb2.Error(
        reason=error.reason,
        message=_cut(error.message, MESSAGE_BYTES_MAX),
        details=_cut_details(error.details),
    )


def from_proto_error(sent: common_pb2.Error) -> LogdError:
    """As `to_proto_error` was given it, but for what was cut."""
    return error_from_reason(sent.reason, sent.message, sent.details)


def to_status(error: LogdError) -> status_pb2.Status:
    """The status to abort a call with."""
    info = any_pb2.Any()
    info.Pack(
        error_details_pb2.ErrorInfo(
            reason=error.reason, domain=DOMAIN, metadata=_cut_details(error.details)
        )
    )
    return status_pb2.Status(
        code=code_pb2.Code.Value(error.code or "UNKNOWN"),
        message=_cut(error.message, MESSAGE_BYTES_MAX),
        details=[info],
    )


def from_status(raw: bytes) -> LogdError | None:
    """The error in a serialized status; None where none of logd's is in it."""
    status = status_pb2.Status()
    try:
        status.ParseFromString(raw)
    except DecodeError:
        return None
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            return error_from_reason(info.reason, status.message, info.metadata)
    return None


def _cut_details(details: Mapping[str, str]) -> dict[str, str]:
    """The first details, each cut: names are logd's own and short, values may be anything."""
    return {name: _cut(details[name], DETAIL_BYTES_MAX) for name in list(details)[:DETAILS_MAX]}


def _cut(text: str, bytes_max: int) -> str:
    """At most so many bytes of UTF-8. Lone surrogates (of file names) become question marks."""
    return text[:bytes_max].encode("utf-8", "replace")[:bytes_max].decode("utf-8", "ignore")
