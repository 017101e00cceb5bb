"""A Python function goes in, its compiled form comes out: numba, without the interpreter's lock, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called with arguments of new types, and keep the result for later processes.

    It is kept beside the source, or in the user's cache folder where the source may not be written to, or where
    `NUMBA_CACHE_DIR` says. Where none of these can be written to, every process compiles anew. Compiled functions hold
    no lock, so threads of Python run them side by side. Sums may be reordered, and a * b + c may be rounded once.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "reassoc", "nsz"}, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba's way to say that it found no folder
        return numba.njit(**options)(function)
