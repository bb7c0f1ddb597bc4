"""gRPC server reflection: what a client finds out of the API from a broker alone.

grpcio-reflection answers the calls. What is missing in it is added here: it serves v1alpha only,
though the messages of v1 are the same, and it does not find methods.
"""

from typing import Any

import grpc
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from logd_proto.v1 import batch_pb2, cluster_pb2, data_pb2, groups_pb2, topics_pb2

V1ALPHA = reflection.SERVICE_NAME
V1 = V1ALPHA.replace("v1alpha", "v1")
_FILES = (batch_pb2, cluster_pb2, data_pb2, groups_pb2, topics_pb2, health_pb2, reflection_pb2)


def add_reflection(server: Any, services: list[str]) -> None:
    """Serve both versions on a grpc.aio server, which also tell of themselves."""
    servicer = reflection.aio.ReflectionServicer([*services, V1, V1ALPHA], pool=_Symbols())
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": method})
            for service in (V1, V1ALPHA)
        )
    )


class _Symbols:
    """A DescriptorPool of the files that are served, and of no other that this process has loaded.

    It wraps one, as protobuf's own class cannot be derived from.
    """

    def __init__(self) -> None:
        self._pool = DescriptorPool()
        for module in _FILES:
            self._add(module.DESCRIPTOR)
        v1alpha = FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(v1alpha)
        v1 = text_format.MessageToString(v1alpha).replace("v1alpha", "v1")
        self._pool.Add(text_format.Parse(v1, FileDescriptorProto()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        """Also of a method, which the pool does not look for. Raises KeyError."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            found = self._pool.FindServiceByName(service)
            return found.methods_by_name[method].containing_service.file

    def _add(self, file: Any) -> None:
        """What it imports first; adding a file again changes nothing."""
        for dependency in file.dependencies:
            self._add(dependency)
        self._pool.AddSerializedFile(file.serialized_pb)
