"""How the process holds memory: freed blocks stay with it, for the next tensors of the same sizes."""

from __future__ import annotations

import ctypes
import os
import platform

# Source: glibc's malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST = 2**31 - 1
"""What mallopt takes at most, in bytes."""


def keep_freed_memory() -> None:
    """Have glibc keep what is freed instead of giving large blocks back to the system.

    A network's maps are of tens of megabytes and the same at every step; a block that comes fresh from the system is cleared,
    and mapped page by page as it is first written: a sixth of a training step
    (docs/results/training.md). The process then holds what it needed most until it ends. Whoever sets `MALLOC_...` or
    `GLIBC_TUNABLES` in the environment is left to it; other C libraries are left as they are.
    """
    chosen = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if platform.libc_ver()[0] == "glibc" and not chosen:
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
        libc.mallopt(M_TRIM_THRESHOLD, LARGEST)
