"""Progress of long work: a live bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import statistics
import sys
import time
from collections import deque
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


class Pace:
    """How fast steps are taken just now; what happens between two of them now and then, such as a validation, does not count."""

    def __init__(self, recent: int = 20) -> None:
        self._last: tuple[int, float] | None = None
        self._seconds: deque[float] = deque(maxlen=recent)

    def steps_per_second(self, step: int, seconds: float) -> float | None:
        """Told the step and the clock; None at the first step it is told, which may be any."""
        if self._last is not None and step > self._last[0] and seconds > self._last[1]:  # a new stage has a new clock
            self._seconds.append((seconds - self._last[1]) / (step - self._last[0]))
        self._last = step, seconds
        return 1 / max(statistics.median(self._seconds), 1e-9) if self._seconds else None


@contextmanager
def _live(title: str, total: int) -> Iterator[Advance]:
    """A line with the bar and, where there is something to say, a second one below: both fit into 80 columns."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=28), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    console = Console(stderr=True)
    # Minutes, for a bar that has just stood still for a validation would promise nonsense.
    bar = Progress(*columns, console=console, speed_estimate_period=600)
    task = bar.add_task(title, total=total)
    said = Text(no_wrap=True, overflow="ellipsis", style="dim")

    def advance(done: int, note: str) -> None:
        bar.update(task, completed=done)
        said.plain = note

    with Live(get_renderable=lambda: Group(bar, said) if said.plain else bar, console=console):
        yield advance


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
        print(
            f"{title} {done}/{total}, {(now - started) / 60:.1f} min{left}  {note}".rstrip(),
            file=sys.stderr,
            flush=True,
        )

    return advance
