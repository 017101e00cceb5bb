"""Seconds until `import pixelwise` and `pixelwise --help` are done, beside a bare Python: medians of fresh processes.

python benchmarks/import_time.py [--runs 15]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import pixelwise": ["-c", "import pixelwise"],
    "pixelwise --help": ["-m", "pixelwise", "--help"],
    "import numpy": ["-c", "import numpy"],
}


def wall_seconds(arguments: list[str], runs: int) -> list[float]:
    """Wall-clock seconds of each run of Python with these arguments; one run before them is not counted."""
    times = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begin)
    return times[1:]


def main() -> None:
    """Measure every command and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15, help="runs that count, per command")
    runs = parser.parse_args().runs
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, {runs} runs")
    print(f"{'command':<20}{'median':>9}{'least':>9}{'greatest':>10}   seconds")
    for name, arguments in COMMANDS.items():
        times = wall_seconds(arguments, runs)
        print(f"{name:<20}{statistics.median(times):>9.3f}{min(times):>9.3f}{max(times):>10.3f}")


if __name__ == "__main__":
    main()
