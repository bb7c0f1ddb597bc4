"""The producer of `logctl bench e2e`, a process of its own.

    python -m logd.cli.bench_sender -b HOST:PORT PLAN

PLAN is a `SendPlan` in JSON. Fails as logctl does.
"""

import asyncio
import json
import struct
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import click

from logd.cli.bench_meter import BenchMeter
from logd.cli.error_report import report_errors
from logd.cli.invocation import CLIENT_ID, Invocation, LogctlCommand
from logd.system.system_random import SystemRandom
from logd_client import Producer

STAMP = struct.Struct("<16s?d")
"""How a value begins: the run's mark, whether it is measured, perf_counter() at its send().

That clock is one for all processes of a machine on Linux and macOS.
"""


@dataclass(frozen=True, slots=True)
class SendPlan:
    """What to send: `warm_up_records`, then `records`, evenly. `mark`: 16 bytes in hex."""

    topic: str
    mark: str
    warm_up_records: int
    records: int
    per_second: int
    value_bytes: int
    acks: Any
    compression: Any


async def send_evenly(invocation: Invocation, plan: SendPlan) -> None:
    """Each record when it is due, or at once if it is late already; without lingering."""
    mark = bytes.fromhex(plan.mark)
    padding = SystemRandom().bytes(plan.value_bytes - STAMP.size)
    async with Producer(
        bootstrap_servers=invocation.bootstrap,
        client_id=CLIENT_ID,
        acks=plan.acks,
        compression_type=plan.compression,
        linger_ms=0,
    ) as producer:
        meter, started_s = BenchMeter(), perf_counter()
        for number in range(plan.warm_up_records + plan.records):
            if number == plan.warm_up_records:
                meter = BenchMeter()
            early_s = started_s + number / plan.per_second - perf_counter()
            if early_s > 0:
                await asyncio.sleep(early_s)
            measured = number >= plan.warm_up_records
            await producer.send(plan.topic, STAMP.pack(mark, measured, perf_counter()) + padding)
        await producer.flush()
        meter.stop()
        invocation.output.line(json.dumps(meter.cpu_s))


@click.command(cls=LogctlCommand)
@click.argument("plan")
@click.pass_obj
@report_errors
def send(invocation: Invocation, /, plan: str) -> None:
    """Send what PLAN says, and print the CPU seconds that it took."""
    invocation.run(send_evenly(invocation, SendPlan(**json.loads(plan))))


if __name__ == "__main__":
    send(prog_name="logctl bench e2e")
