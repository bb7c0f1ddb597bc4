"""Where and with what a run was made."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

LIBRARIES = ("grpcio", "protobuf", "pyarrow", "uvloop")


def machine() -> dict[str, str]:
    """Processor, cores, memory, kernel; how loaded it is now."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory_bytes / (1 << 30):.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load_average": f"{os.getloadavg()[0]:.1f}",
    }


def versions() -> dict[str, str]:
    """Of Python, of us (with the commit, where git knows it) and of what we stand on."""
    found = {"python": platform.python_version(), "logd": metadata.version("logd")}
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found["logd"] += f" ({commit.stdout.strip()})"
    except (OSError, subprocess.CalledProcessError):
        pass
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
