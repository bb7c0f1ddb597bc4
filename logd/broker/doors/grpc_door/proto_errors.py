"""LogdErrors on the wire: per entry as `logd.v1.Error`, per call as rich status with ErrorInfo."""

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from logd.model.errors import LogdError
from logd_proto.v1 import common_pb2

STATUS_BYTES_MAX = 4096
"""Rich status above 8 KiB fails now and then in grpc: stay well below (docs/errors.md)."""
_DETAIL_LENGTH_MAX = 300
_MESSAGE_LENGTH_MAX = 1500


def to_proto_error(error: LogdError) -> common_pb2.Error:
    return common_pb2.Error(
        reason=error.reason,
        message=error.message[:_MESSAGE_LENGTH_MAX],
        details={k: v[:_DETAIL_LENGTH_MAX] for k, v in error.details.items()},
    )


def to_grpc_status(error: LogdError) -> grpc.Status:
    """The status to abort a unary call with."""
    info = any_pb2.Any()
    info.Pack(
        error_details_pb2.ErrorInfo(
            reason=error.reason,
            domain="logd",
            metadata={k: v[:_DETAIL_LENGTH_MAX] for k, v in error.details.items()},
        )
    )
    status = status_pb2.Status(
        code=code_pb2.Code.Value(error.code or "UNKNOWN"),
        message=error.message[:_MESSAGE_LENGTH_MAX],
        details=[info],
    )
    assert status.ByteSize() <= STATUS_BYTES_MAX, "an error carries too many details"
    return rpc_status.to_status(status)
