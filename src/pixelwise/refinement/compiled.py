"""A Python function goes in, its compiled form comes out: numba, without the interpreter's lock; and threads to run it in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeAlias

import numba
from numba.extending import register_jitable

Part: TypeAlias = tuple[int, int]
"""From where to where, half open."""

Crew: TypeAlias = Callable[[Callable[[Part], Any], list[Part]], list[Any]]
"""Does a task for each part and gives the results in order, when all are done."""


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called with arguments of new types, and keep the result for later processes.

    It is kept beside the source, or in the user's cache folder where the source may not be written to, or where
    `NUMBA_CACHE_DIR` says. Where none of these can be written to, every process compiles anew. Compiled functions hold
    no lock, so threads of Python run them side by side. a * b + c may be rounded once; nothing else is reordered.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba's way to say that it found no folder
        return numba.njit(**options)(function)


inlined = register_jitable(inline="always")
"""Makes a function a part of each compiled one that calls it. Calls of others cost more once these come out of the cache."""


def default_threads() -> int:
    """As many as the process may use cores, or as the environment's `NUMBA_NUM_THREADS` says."""
    return int(numba.config.NUMBA_NUM_THREADS)


def parts(count: int, threads: int, step: int = 1) -> list[Part]:
    """Cut 0 .. count into parts of equal length for so many threads; all but the last end at multiples of `step`."""
    steps = -(-count // step)
    edges = [min(steps * i // threads * step, count) for i in range(threads + 1)]
    return [(begin, end) for begin, end in pairwise(edges) if begin < end]


def alone(task: Callable[[Part], Any], pieces: list[Part]) -> list[Any]:
    """A crew of the caller's own thread."""
    return [task(piece) for piece in pieces]


@contextmanager
def crew(threads: int) -> Iterator[Crew]:
    """Threads for the length of a block. They are Python's own: numba's do not outlive a fork, and bear no second caller.

    The caller's own thread is one of them and does the first part: it need not be woken, and seldom waits for the others.
    """
    if threads == 1:
        yield alone
        return
    with ThreadPoolExecutor(threads - 1) as pool:

        def run(task: Callable[[Part], Any], pieces: list[Part]) -> list[Any]:
            others = pool.map(task, pieces[1:])
            return [*alone(task, pieces[:1]), *others]

        yield run
