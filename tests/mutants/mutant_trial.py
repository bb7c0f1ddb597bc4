"""A copy of the tree in which mutants are tried, each against the tests that mirror its package."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from mutants.mutant import Mutant

SOURCE_ROOTS = ("", "proto", "partitions", "replication", "consumer_groups", "client", "tests")
NOT_COPIED = (".git", ".venv*", ".demo", ".*_cache", ".hypothesis", "build", "dist")
TIMES_MAX = 5
MORE_S_MAX = 30.0
"""A mutant may take so many times what the whole code took, and so much longer: it shares the
machine with another. One that takes longer counts as killed: it would never end."""
SURVIVED, KILLED, ENDLESS = "survived", "killed", "killed: never ended"
NO_TESTS = 5
"""pytest's exit code where none was selected."""
MEMORY_BYTES_MAX = 16 << 30
FILE_BYTES_MAX = 4 << 30
"""What a mutant that never ends may take of the machine meanwhile."""


class MutantTrial:
    """`root` is copied to `directory`. `folder` is the folder of tests, relative to the tree."""

    def __init__(self, root: Path, directory: Path, folder: str) -> None:
        shutil.copytree(root, directory, ignore=shutil.ignore_patterns(*NOT_COPIED))
        self._root = directory
        self._folder = folder
        self._output = directory.parent / "output"
        self._took_s = 0.0

    def whole(self) -> None:
        """Try the code as it is, and learn how long that takes. Raises RuntimeError with what the
        tests say, if they fail."""
        began = time.monotonic()
        ended = self._run([self._folder], None)
        self._took_s = time.monotonic() - began
        if ended != 0:
            said = self._output.read_text("utf-8", "replace")
            raise RuntimeError(f"the tests of {self._folder} fail as the code stands:\n{said}")

    def copy(self, directory: Path) -> "MutantTrial":
        """Another, for another thread, that knows what this one does."""
        other = MutantTrial(self._root, directory, self._folder)
        other._took_s = self._took_s
        return other

    def outcome(self, mutant: Mutant, deadline: float) -> str:
        """Its own file of tests is tried before all of the folder. Empty where the deadline (of
        time.monotonic) came first."""
        file = self._root / mutant.path
        whole = file.read_text("utf-8")
        _write(file, mutant.code(whole))
        try:
            own = [
                test.relative_to(self._root).as_posix()
                for test in (self._root / self._folder).rglob(f"test_{file.stem}.py")
            ]
            rest = [self._folder, *(f"--ignore={test}" for test in own)]
            for tests in filter(None, [own, rest]):
                if outcome := self._tried(tests, deadline):
                    return outcome if time.monotonic() < deadline else ""
            return SURVIVED
        finally:
            _write(file, whole)

    def _tried(self, tests: list[str], deadline: float) -> str:
        most_s = self._took_s * TIMES_MAX + MORE_S_MAX
        code = self._run(tests, min(most_s, max(0.0, deadline - time.monotonic())))
        if code is None:
            return ENDLESS
        return "" if code in (0, NO_TESTS) else KILLED

    def _run(self, tests: list[str], most_s: float | None) -> int | None:
        """pytest's exit code; None if it had to be ended. What it started ends with it."""
        shutil.rmtree(self._root / ".hypothesis" / "examples", ignore_errors=True)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--hypothesis-seed=0", *tests]
        options = ["-p", "no:cacheprovider", "--basetemp", str(self._root.parent / "tmp")]
        paths = os.pathsep.join(str(self._root / name) for name in SOURCE_ROOTS)
        with self._output.open("wb") as output:
            process = subprocess.Popen(
                [*command, *options],
                cwd=self._root,
                env={**os.environ, "PYTHONPATH": paths},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_bound,
            )
        try:
            return process.wait(most_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _kill_group(process.pid)
            process.wait()


def _write(file: Path, code: str) -> None:
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()  # made in this second, of an equal size, it would pass for this code's
    file.write_text(code, "utf-8")


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass  # all had ended
