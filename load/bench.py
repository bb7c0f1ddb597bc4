"""`make bench`: a broker of its own in a temporary folder, then each benchmark of `logctl bench`.

Arguments go to every benchmark, for example `--value-bytes 100B --duration 10s`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from logd.dev.demo_broker import DemoBroker

BENCHMARKS = ("produce", "consume", "latency", "e2e")


def main() -> int:
    """The exit status: that of the first benchmark that fails, else 0."""
    with tempfile.TemporaryDirectory(prefix="logd-bench-") as folder:
        broker = DemoBroker(Path(folder))
        try:
            broker.start()
            for name in BENCHMARKS:
                command = ["bench", name, "--bootstrap", broker.address, *sys.argv[1:]]
                print(f"$ logctl {' '.join(command)}", flush=True)
                status = subprocess.call([sys.executable, "-m", "logd.cli.main", *command])
                if status:
                    return status
            return 0
        finally:
            broker.close()


if __name__ == "__main__":
    sys.exit(main())
