"""`logd.v1` is a whole API: freshly generated stubs and nothing else make a full client."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("bare_stubs_program.py")
VENV = ROOT / ".venv-stubs"
"""Made by `make test`: grpcio and grpcio-tools, without logd."""


@pytest.mark.slow
def test_a_program_with_fresh_stubs_in_an_environment_without_logd(tmp_path: Path) -> None:
    python = VENV / "bin" / "python"
    assert python.exists(), "`make test` makes .venv-stubs: run it, or `make .venv-stubs/installed`"
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    protos = sorted((ROOT / "proto/logd_proto/v1").glob("*.proto"))
    generate: list[str | Path] = [python, "-m", "grpc_tools.protoc", "-I", ROOT / "proto"]
    generate += [f"--python_out={stubs}", f"--grpc_python_out={stubs}", *protos]
    subprocess.run(generate, check=True, cwd=tmp_path)
    with BrokerProcess(tmp_path) as broker:
        done = subprocess.run(
            [python, PROGRAM, broker.address],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(stubs)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "100 records in and out, twice\n"


@pytest.mark.slow
def test_reflection_and_health_name_the_services(tmp_path: Path) -> None:
    code = """
import sys, grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
channel = grpc.insecure_channel(sys.argv[1], [("grpc.enable_http_proxy", 0)])
health = health_pb2_grpc.HealthStub(channel)
print(health.Check(health_pb2.HealthCheckRequest(service="logd.v1.DataService")).status)
ask = reflection_pb2.ServerReflectionRequest(list_services="")
stub = reflection_pb2_grpc.ServerReflectionStub(channel)
answer = next(stub.ServerReflectionInfo(iter([ask])))
print(*sorted(s.name for s in answer.list_services_response.service))
"""
    with BrokerProcess(tmp_path) as broker:
        done = subprocess.run(
            [sys.executable, "-c", code, broker.address], capture_output=True, text=True, timeout=30
        )
    assert done.returncode == 0, done.stderr
    serving, services = done.stdout.splitlines()
    assert serving == "1"
    assert services.split() == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "logd.v1.ClusterService",
        "logd.v1.DataService",
        "logd.v1.GroupService",
        "logd.v1.TopicService",
    ]
