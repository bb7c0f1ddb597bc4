"""Reflection as grpcurl and load tools ask it: what a .proto names is found, in both versions."""

from collections.abc import AsyncIterator, Iterator

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from harness.dispatchers import dispatcher
from harness.manual_clock import ManualClock
from logd.broker.doors.grpc_door.grpc_server import GrpcServer
from logd.rpc.rpc import Rpc, StreamRpc
from logd.system.background_tasks import BackgroundTasks
from logd_proto.v1 import batch_pb2, cluster_pb2, common_pb2, data_pb2, groups_pb2, topics_pb2

VERSIONS = ("v1", "v1alpha")
PROTOS = (batch_pb2, cluster_pb2, common_pb2, data_pb2, groups_pb2, topics_pb2)
FILES = [module.DESCRIPTOR for module in (*PROTOS, health_pb2, reflection_pb2)]
SERVICES = ("ClusterService", "DataService", "GroupService", "TopicService")


async def nothing(*_: object) -> None: ...


@pytest_asyncio.fixture
async def address() -> AsyncIterator[str]:
    clock = ManualClock()
    rpcs: list[Rpc] = [StreamRpc(f"/logd.v1.{name}/Any", nothing, "read") for name in SERVICES]
    server = GrpcServer(dispatcher(rpcs), clock, BackgroundTasks(clock))
    yield f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    await server.stop(0)


async def ask(
    address: str, version: str, *requests: ServerReflectionRequest
) -> list[ServerReflectionResponse]:
    """The answers to all requests on one stream."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            ServerReflectionRequest.SerializeToString,
            ServerReflectionResponse.FromString,
        )
        return [answer async for answer in call(iter(requests))]


def files_of(answer: ServerReflectionResponse) -> dict[str, FileDescriptorProto]:
    """The files of an answer by their names, the one that was asked for first."""
    files: dict[str, FileDescriptorProto] = {}
    for raw in answer.file_descriptor_response.file_descriptor_proto:
        file = FileDescriptorProto()
        file.ParseFromString(raw)
        files[file.name] = file
    return files


def symbols(file: FileDescriptorProto) -> Iterator[str]:
    """Everything that has a full name in it."""
    for service in file.service:
        yield f"{file.package}.{service.name}"
        yield from (f"{file.package}.{service.name}.{method.name}" for method in service.method)
    for message in file.message_type:
        yield from _of_message(file.package, message)
    for enum in file.enum_type:
        yield from _of_enum(file.package, enum)


def _of_message(scope: str, message: DescriptorProto) -> Iterator[str]:
    name = f"{scope}.{message.name}"
    yield name
    yield from (f"{name}.{field.name}" for field in message.field)
    yield from (f"{name}.{oneof.name}" for oneof in message.oneof_decl)
    for nested in message.nested_type:
        yield from _of_message(name, nested)
    for enum in message.enum_type:
        yield from _of_enum(name, enum)


def _of_enum(scope: str, enum: EnumDescriptorProto) -> Iterator[str]:
    yield f"{scope}.{enum.name}"
    yield from (f"{scope}.{value.name}" for value in enum.value)


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_symbol_is_found_in_its_file(address: str, version: str) -> None:
    expected: dict[str, str] = {}
    for descriptor in FILES:
        file = FileDescriptorProto()
        descriptor.CopyToProto(file)
        expected |= dict.fromkeys(symbols(file), file.name)
    assert "logd.v1.DataService.Produce" in expected and len(expected) > 400
    requests = [ServerReflectionRequest(file_containing_symbol=symbol) for symbol in expected]
    answers = await ask(address, version, *requests)
    found = {
        answer.original_request.file_containing_symbol: next(iter(files_of(answer)), None)
        for answer in answers
    }
    assert found == expected


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_file_comes_with_what_it_imports(address: str, version: str) -> None:
    requests = [ServerReflectionRequest(file_by_filename=file.name) for file in FILES]
    for descriptor, answer in zip(FILES, await ask(address, version, *requests), strict=True):
        files = files_of(answer)
        assert next(iter(files)) == descriptor.name
        assert {each for file in files.values() for each in file.dependency} <= set(files)


@pytest.mark.parametrize("version", VERSIONS)
async def test_services_and_the_ways_they_are_asked_by(address: str, version: str) -> None:
    (answer,) = await ask(address, version, ServerReflectionRequest(list_services=""))
    names = [service.name for service in answer.list_services_response.service]
    assert names == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        *(f"logd.v1.{name}" for name in SERVICES),
    ]
    requests = [ServerReflectionRequest(file_containing_symbol=name) for name in names]
    for name, answer in zip(names, await ask(address, version, *requests), strict=True):
        file = next(iter(files_of(answer).values()))
        assert name in {f"{file.package}.{service.name}" for service in file.service}


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_not_there_is_not_found(address: str, version: str) -> None:
    names = ["", ".", "logd.v1", "logd.v1.DataService.Nothing", "logd.v1.DataService.Produce.x"]
    names += ["logd.v1.Nothing", "logd.v1.ProduceRequest.nothing", "a\0b", "x" * 100_000]
    extension = reflection_pb2.ExtensionRequest
    requests = [ServerReflectionRequest(file_containing_symbol=name) for name in names]
    requests += [ServerReflectionRequest(file_by_filename=name) for name in ("", "any.proto")]
    requests += [
        ServerReflectionRequest(
            file_containing_extension=extension(containing_type=name, extension_number=number)
        )
        for name in ("logd.v1.ProduceRequest", "logd.v1.Nothing", "")
        for number in (1, 0, -1, 2**31 - 1)
    ]
    requests += [ServerReflectionRequest(all_extension_numbers_of_type="logd.v1.Nothing")]
    answers = await ask(address, version, *requests)
    assert [answer.error_response.error_code for answer in answers] == [5] * len(requests)


@pytest.mark.parametrize("version", VERSIONS)
async def test_messages_have_no_extensions(address: str, version: str) -> None:
    request = ServerReflectionRequest(all_extension_numbers_of_type="logd.v1.ProduceRequest")
    (answer,) = await ask(address, version, request)
    assert answer.all_extension_numbers_response.base_type_name == "logd.v1.ProduceRequest"
    assert list(answer.all_extension_numbers_response.extension_number) == []
