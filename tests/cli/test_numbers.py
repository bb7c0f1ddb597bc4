"""Every number of every command, at values that are none or that nothing can hold: never an
unexpected error, whatever is refused where."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from harness.logctl_transcript import in_pipe

pytestmark = pytest.mark.slow

NUMBERS = (
    "0", "-1", "1.5", "", "x", "true", "2147483648", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e3", "٣", "9" * 5000,
)  # fmt: skip
DURATIONS = ("{}ms", "{}s", "{}h", "{}d", "{}")

COMMANDS = {
    "topics create": (
        "topics create u --validate-only -p {}",
        "topics create u --validate-only -r {}",
    ),
    "topics add-partitions": ("topics add-partitions t --total {} --validate-only",),
    "topics truncate": (
        "topics truncate t --before {} --validate-only",
        "topics truncate t:{} --before 0 --validate-only",
        *(f"topics truncate t --before @-{each} --validate-only" for each in DURATIONS),
    ),
    "topics set": ("topics set t retention_ms={} --validate-only",),
    "partitions": (
        "partitions offsets t --at {}",
        "partitions offsets t --at @{}",
        "partitions describe t:{}",
        "partitions ls t:{}",
    ),
    "consume from": (
        "consume t -e --from {}",
        "consume t -e --from @{}",
        "consume t -e --from @-{}d",
    ),
    "consume to": ("consume t --to {} -n 3", "consume t --from 0 --to @{} -n 3"),
    "consume": ("consume t -e -n {}", "consume t -e -p {}", "consume t -e -p 0-{}"),
    "produce": (
        "produce t /dev/null -p {}",
        "produce t /dev/null --rate {}/s",
        "produce t /dev/null --timestamp {}",
        "produce t {file} --timestamp @-{}d",
    ),
    "reset": (
        "groups reset g --topic t --to-offset {}",
        "groups reset g --topic t --shift-by {}",
        "groups reset g --topic t --to-datetime {}",
        "groups reset g --topic t --to-datetime @{}",
        "groups reset g --topic t:{} --to-latest",
        "groups reset g --from-file {plan}",
    ),
    "reset by": tuple(f"groups reset g --topic t --by-duration {each}" for each in DURATIONS),
    "timeout": tuple(f"topics ls --timeout {each}" for each in DURATIONS),
    "bench": (
        "bench produce --duration {} --warm-up 0ms",
        "bench consume --records {} --duration 1ms --warm-up 0ms --partitions x",
        "bench produce --value-bytes {} --duration 1ms --warm-up x",
        "bench e2e --rate {}/s --warm-up x",
        "bench produce --batch-bytes {} --duration 1ms --warm-up 0ms",
        "bench produce --linger {}ms --duration 1ms --warm-up 0ms",
    ),
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as process:
        place = f"-b {process.address}"
        assert in_pipe(f"logctl topics create t {place}")
        in_pipe(f"logctl produce t {place}", b"a\nb\nc\n")
        in_pipe(f"logctl consume t -e -g g {place}")
        yield process


@pytest.mark.parametrize("name", COMMANDS)
def test_a_number_is_taken_or_refused(broker: BrokerProcess, tmp_path: Path, name: str) -> None:
    faults = []
    plan, file = tmp_path / "plan", tmp_path / "file"
    file.write_text("a\n")
    for command in COMMANDS[name]:
        for number in NUMBERS:
            plan.write_text(f'{{"topic": "t", "partition": 0, "to_offset": {number}}}')
            words = command.replace("{plan}", str(plan)).replace("{file}", str(file))
            words = words.replace("{}", f"'{number}'" if number in ("", "x") else number)
            shown = in_pipe(f"logctl {words} -b {broker.address}")
            if "unexpected" in shown or "[exit 1]" in shown or "Traceback" in shown:
                faults.append(f"{words[:200]}: {shown[:400]}")
    assert not faults, "\n".join(faults)
