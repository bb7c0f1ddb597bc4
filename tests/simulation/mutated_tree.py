"""A copy of the tree with one deliberate bug in it, to see the simulation find it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("logd", "proto", "partitions", "replication", "consumer_groups", "client", "tests")
SOURCE_ROOTS = ("", "proto", "partitions", "replication", "consumer_groups", "client", "tests")


class MutatedTree:
    """`patch` is applied to a copy in `directory`. Raises CalledProcessError where it no longer
    fits."""

    def __init__(self, directory: Path, patch: Path) -> None:
        self._root = directory / patch.stem
        for name in SOURCES:
            shutil.copytree(ROOT / name, self._root / name)
        subprocess.run(
            ["git", "apply", "--whitespace=nowarn", str(patch)],
            cwd=self._root,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(directory.parent)},
            check=True,
            capture_output=True,
            text=True,
        )

    def first_finding(self, first: int, end: int) -> str:
        """What the first seed of [first, end) finds that finds something; empty if none does."""
        paths = os.pathsep.join(str(self._root / name) for name in SOURCE_ROOTS)
        program = self._root / "tests/simulation/run_seeds.py"
        ran = subprocess.run(
            [sys.executable, str(program), "--seeds", f"{first}:{end}"],
            cwd=self._root,
            env={**os.environ, "PYTHONPATH": paths},
            check=False,
            capture_output=True,
            text=True,
        )
        if ran.returncode not in (0, 1):
            raise RuntimeError(ran.stderr)
        return ran.stdout if ran.returncode else ""
