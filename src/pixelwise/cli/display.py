"""Progress of long work: a live bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int, str], None]
"""Told how much is done, and what to say beside it."""


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """Show how far work of `total` steps has come."""
    if sys.stderr.isatty():
        with _live(title, total) as advance:
            yield advance
    else:
        yield _lines(title, total)


@contextmanager
def _live(title: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, note="")
        yield lambda done, note: bar.update(task, completed=done, note=note)


def _lines(title: str, total: int, every_seconds: float = 30.0) -> Advance:
    started = last = time.monotonic()
    first: int | None = None

    def advance(done: int, note: str) -> None:
        nonlocal last, first
        now = time.monotonic()
        first = done if first is None else first
        if done < total and now - last < every_seconds:
            return
        last = now
        rate = (done - first) / (now - started) if done > first and now > started else 0.0
        left = f", {(total - done) / rate / 60:.1f} min left" if rate and done < total else ""
        print(f"{title} {done}/{total}, {(now - started) / 60:.1f} min{left}  {note}", file=sys.stderr, flush=True)

    return advance
