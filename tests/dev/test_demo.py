"""The demo on small folders: equal, clean after itself, honest when a step fails."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

AWKWARD = {
    "empty": b"",
    "cr only": b"one\rtwo\rthree\r",
    "crlf": b"one\r\ntwo\r\n\r\n",
    "no newline at the end": b"a\nb",
    "not utf-8": b"\xff\xfe\n\x80\x81\n",
    "below/a/folder": b"x\n" * 2000,
    "long line": b"y" * 300_000,
    "longer than a record may be": b"z" * 9_000_000,
    os.fsdecode(b"name \xff is not utf-8"): b"a\n",
    "name\nof two lines": b"b\n",
}


def start_demo(folder: Path, files: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "logd.dev.demo", str(files)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def brokers_of(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if "logd.main" in process.cmdline() and process.cwd() == str(folder):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        file = folder / "files" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder / "files"


@pytest.mark.slow
@pytest.mark.parametrize("files", [AWKWARD, {"one": b"line\n"}], ids=["awkward", "one line"])
def test_any_folder_comes_back_equal(tmp_path: Path, files: dict[str, bytes]) -> None:
    demo = start_demo(tmp_path, write_files(tmp_path, files))
    out, err = demo.communicate(timeout=60)
    assert demo.returncode == 0, out + err
    assert "batches in flight" in out and " 0 batches in flight" not in out
    assert out.count("every file's SHA-256 is equal") == 2
    assert "exactly the" in out and "NOT EQUAL" not in out
    assert brokers_of(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} == {"files", ".demo"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    demo = start_demo(tmp_path, write_files(tmp_path, {"many": b"line\n" * 200_000}))
    assert demo.stdout is not None
    for line in demo.stdout:
        if "produced" in line:
            break
    os.kill(demo.pid, number)
    demo.communicate(timeout=60)
    assert demo.returncode == 130
    deadline = time.monotonic() + 30
    while brokers_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert brokers_of(tmp_path) == []


@pytest.mark.slow
def test_a_broker_that_does_not_start_is_a_failed_demo(tmp_path: Path) -> None:
    files = write_files(tmp_path, {"one": b"line\n"})
    done = subprocess.run(
        [sys.executable, "-m", "logd.dev.demo", str(files)],
        cwd=tmp_path,
        env={**os.environ, "LOGD_LISTEN": "127.0.0.1:1", "LOGD_BROKER_ID": "x"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "the broker did not start" in done.stderr and "broker_id" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    demo = start_demo(tmp_path, tmp_path / "none")
    _, err = demo.communicate(timeout=60)
    assert (demo.returncode, "is no folder" in err) == (2, True)
