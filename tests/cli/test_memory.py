"""Memory that is freed stays with the process: large arrays of the same size cost no new pages."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from pixelwise.cli.memory import keep_freed_memory
if {kept}:
    keep_freed_memory()
def fill():
    np.empty(2**26, np.uint8).fill(1)
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(kept: bool, **environment: str) -> int:
    """Pages that ten arrays of 64 MiB, one after the other, had to be given."""
    words = [sys.executable, "-c", FAULTS.format(kept=kept)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    done = subprocess.run(words, env=clean | environment, capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's malloc")
def test_freed_memory_is_used_again() -> None:
    plain = faults(kept=False)
    assert plain > 100  # even with pages of 2 MiB, 320
    assert faults(kept=True) < plain / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's malloc")
def test_who_sets_malloc_himself_is_left_to_it() -> None:
    assert faults(kept=True, MALLOC_MMAP_THRESHOLD_="1048576") > 100
