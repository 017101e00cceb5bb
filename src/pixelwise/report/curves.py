"""A run's log in, one page of curves out: loss, validation score and learning rate over the steps and the minutes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError, import_extra
from pixelwise.files import written_beside
from pixelwise.report.colours import CURVES

STROKES = ("-", "--", "-.", ":")
"""Told apart in black and white as well."""

SMOOTHED_PART = 0.08
"""The smooth curve is a mean over this part of the points, taken twice."""


def draw_curves(log: Path, target: Path) -> None:
    """Draw the curves of a `metrics.jsonl` as a PNG page at `target`, which is written whole or not at all.

    The loss and its parts are drawn as logged and smoothed; the best validation score is marked. Panels without
    anything to show are left out. Raises `InputError` if matplotlib is not installed, or if the log holds no step.
    """
    figures = import_extra("matplotlib.figure", extra="report")
    lines = _read(log)
    scored = [line for line in lines if line["score"] is not None and not math.isnan(line["score"])]
    shares = [4, 3, 2] if scored else [4, 2]
    # Figure by itself draws with Agg, on no screen, and leaves pyplot's state to whoever uses it.
    figure = figures.Figure(figsize=(7.5, 1 + sum(shares)), layout="constrained")
    panels = list(figure.subplots(len(shares), 1, sharex=True, height_ratios=shares))
    _draw_loss(panels[0], lines)
    if scored:
        _draw_score(panels[1], scored)
    steps = [line["step"] for line in lines]
    panels[-1].plot(steps, [line["rate"] for line in lines], color="black", linewidth=1.3)
    panels[-1].set_ylabel("learning rate")
    panels[-1].set_ylim(bottom=0)
    panels[-1].set_xlabel("step")
    for panel in panels:
        panel.grid(color="0.9", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_xlim(0, lines[-1]["step"] * 1.02)
    panels[0].xaxis.get_major_locator().set_params(integer=True)
    _draw_time(panels[0], lines)
    figure.align_ylabels(panels)
    figure.suptitle(_title(log, lines), x=0.01, ha="left", fontsize=11)
    with written_beside(target) as beside:
        figure.savefig(beside, dpi=160)


def smoothed(values: Sequence[float] | NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The mean over `width` neighbours, itself in the middle.

    Near the start, where a loss falls fast, over as many on each side as there are; near the end over those there are.
    """
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, np.float64))])
    places = np.arange(len(values))
    before = np.minimum(width // 2, places)
    after = np.minimum(before, len(values) - 1 - places)
    return (sums[places + after + 1] - sums[places - before]) / (before + after + 1)


def _read(log: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    if not lines:
        raise InputError(f"{log}: holds no step of a training yet; draw it when there are some")
    return lines


def _draw_loss(panel: Any, lines: list[dict[str, Any]]) -> None:
    steps = [line["step"] for line in lines]
    parts = list(lines[-1].get("parts", {}))
    curves = {"loss": [line["loss"] for line in lines]}
    if len(parts) > 1:
        curves |= {f"its part {name}": [line["parts"].get(name, math.nan) for line in lines] for name in parts}
    width, highest = max(1, round(SMOOTHED_PART * len(lines))), 1e-6
    for place, (name, values) in enumerate(curves.items()):
        colour, stroke = CURVES[place % len(CURVES)], STROKES[place % len(STROKES)]
        smooth = smoothed(smoothed(values, width), width)
        panel.plot(steps, values, "-", color=colour, linewidth=0.7, alpha=0.4)
        mark = "." if len(lines) == 1 else None
        panel.plot(steps, smooth, stroke, marker=mark, color=colour, linewidth=2, label=name)
        # A single wild batch must not flatten the rest.
        highest = max(highest, min(max(values), 1.5 * float(smooth.max())))
    panel.set_ylim(0, 1.05 * highest)
    panel.set_ylabel("training loss")
    panel.plot([], [], "-", color="0.6", linewidth=0.7, label="single steps")
    panel.legend(frameon=False, fontsize=8, loc="upper right")


def _draw_score(panel: Any, scored: list[dict[str, Any]]) -> None:
    steps, scores = [line["step"] for line in scored], [line["score"] for line in scored]
    panel.plot(steps, scores, "o-", color=CURVES[0], markersize=4, linewidth=1.3, label="validation mIoU")
    best = int(np.argmax(scores))
    panel.plot(
        steps[best], scores[best], "*", color=CURVES[1], markersize=13,
        label=f"best: {scores[best]:.4f} at step {steps[best]:,}",
    )  # fmt: skip
    span = max(max(scores) - min(scores), 0.02)
    panel.set_ylim(max(0, min(scores) - 0.15 * span), min(1, max(scores) + 0.15 * span))
    panel.set_ylabel("validation mIoU")
    panel.legend(frameon=False, fontsize=8, loc="lower right")


def _draw_time(panel: Any, lines: list[dict[str, Any]]) -> None:
    """A second axis above: at which step how much time was spent."""
    ticker = import_extra("matplotlib.ticker", extra="report")
    steps, seconds = [0, *(line["step"] for line in lines)], [0.0, *(line["seconds"] for line in lines)]
    unit, name = _unit(seconds[-1])
    marks = ticker.MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(0, seconds[-1] / unit)
    marks = [mark for mark in marks if 0 <= mark <= seconds[-1] / unit]
    above = panel.twiny()
    above.set_xlim(panel.get_xlim())
    above.set_xticks(np.interp([mark * unit for mark in marks], seconds, steps), [f"{mark:g}" for mark in marks])
    above.set_xlabel(name)
    above.spines[["right"]].set_visible(False)


def _unit(seconds: float) -> tuple[int, str]:
    """The unit to give a time in: its seconds, and its name."""
    return (3600, "hours") if seconds > 3 * 3600 else (60, "minutes") if seconds > 180 else (1, "seconds")


def _title(log: Path, lines: list[dict[str, Any]]) -> str:
    last = lines[-1]
    of = f" of {last['steps']:,}" if last["step"] < last["steps"] else ""
    unit, name = _unit(last["seconds"])
    return f"{log.resolve().parent.name}: {last['step']:,}{of} steps in {last['seconds'] / unit:.3g} {name}"
