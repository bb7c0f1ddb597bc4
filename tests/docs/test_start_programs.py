"""The programs of docs/start, built and run by the commands that stand there, where their
toolchains are."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/start/README.md").read_text("utf-8")
GO, NODE = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PROTOC = f"""#!/bin/sh
exec {ROOT}/.venv-stubs/bin/python -m grpc_tools.protoc "$@"
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "tool", "commands"), [("go", "go", GO), ("node", "npm", NODE)]
)
def test_a_program_does_as_the_page_says(
    language: str, tool: str, commands: str, tmp_path: Path
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} on this machine")
    folder = tmp_path / "docs/start" / language
    shutil.copytree(ROOT / "docs/start" / language, folder)
    shutil.copytree(ROOT / "proto/logd_proto", tmp_path / "proto/logd_proto")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "protoc").write_text(PROTOC)
    (tools / "protoc").chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "GOBIN": str(tools)}
    with BrokerProcess(tmp_path) as broker:
        script = commands.replace("127.0.0.1:9600", broker.address)
        assert script != commands, "the page names the broker"
        for count in (100, 200):  # again: after a rewind, in a topic that is there
            done = subprocess.run(
                ["sh", "-euc", script if count == 100 else script.splitlines()[-1]],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=600,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.splitlines()[-2:] == [f"read {count}", f"read again {count}"]
