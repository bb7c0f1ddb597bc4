"""The simulated broker is the real one: what is replaced is listed here, and nothing else is."""

import subprocess
import sys
from pathlib import Path

REPLACED = {
    "logd.broker.broker_process": "the process: signals, the loop, the line on stdout",
    "logd.broker.diagnostics": "where log lines go: into the trace instead",
    "logd.broker.event_rates": "how many log lines there may be",
    "logd.broker.printed_lines": "what is printed instead of logged",
    "logd.broker.descriptor_watch": "the process's descriptors, in health",
    "logd.broker.loop_watch": "looks for stalls of a loop, which virtual time has not",
    "logd.broker.doors.grpc_door.grpc_server": "the listener: calls come through SimulatedNetwork",
    "logd.broker.doors.grpc_door.grpc_listener": "its port",
    "logd.broker.doors.bind_error": "why it has no port",
    "logd.broker.doors.grpc_door.health_service": "what supervisors ask a listener",
    "logd.broker.doors.grpc_door.reflection_service": "what tools ask a listener",
    "logd.broker.real_seams": "the choice of what follows",
    "logd_proto.v1.batch_pb2": "a message that no call carries: for those who ask",
    "logd.system.malloc_thresholds": "the process's memory",
    "logd.system.open_descriptors": "the process's descriptors",
    "logd.system.stop_signals": "the process's signals",
    "logd.system.os_file_system": "files: SimulatedFileSystem",
    "logd.system.system_clock": "clocks: SimulatedClock",
    "logd.system.system_random": "randomness: SeededRandom",
    "logd.system.thread_offload": "threads: SimulatedOffload",
}
"""Modules of ours that a real broker loads and a simulated one does not -> what stands for them."""

REAL = """
import sys
from logd.broker.broker_process import run_broker
from logd.broker.config import BrokerConfig
from logd.broker.real_seams import real_seams
import os, signal
def serving(line):
    os.kill(os.getpid(), signal.SIGTERM)
run_broker(BrokerConfig(data_dir=sys.argv[1], listen="127.0.0.1:0"), real_seams(), serving)
print(*sorted(name for name in sys.modules if name.startswith("logd")))
"""
SIMULATED = """
import sys
from logd.sim.simulation import simulate
async def scenario(simulation):
    assert await simulation.machine.start()
    assert await simulation.machine.stop()
simulate(1, scenario)
print(*sorted(name for name in sys.modules if name.startswith("logd")))
"""


def loaded(program: str, directory: Path) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-c", program, str(directory / "data")],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(ran.stdout.splitlines()[-1].split())


def test_only_the_seams_are_replaced(tmp_path: Path) -> None:
    real, simulated = loaded(REAL, tmp_path), loaded(SIMULATED, tmp_path)
    assert real - simulated == set(REPLACED)
    added = {name for name in simulated - real if not name.startswith("logd.sim")}
    assert added == set(), "nothing but the simulator's own modules comes in"
