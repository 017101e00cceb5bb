"""Maps of one class after every iteration of a mean field in, a strip of pictures out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError, import_extra
from pixelwise.files import written_beside

COLUMNS = 5
"""So many iterations are shown at most: the first ones, for they change most, and the last."""

BELIEF = {"cmap": "gray", "vmin": 0, "vmax": 1}


def draw_trace(
    image: NDArray[np.uint8],
    scores: Sequence[NDArray],
    beliefs: Sequence[NDArray],
    target: Path,
    *,
    name: str,
    iterations: Sequence[int] | None = None,
) -> None:
    """Draw score and belief maps of one class, a column an iteration, as a PNG at `target`, written whole or not at all.

    image       `(H, W, 3)` uint8
    scores      `(H, W)` each, before the softmax: before the first iteration, after it, and so on
    beliefs     `(H, W)` each, 0..1, after the softmax
    name        of the class
    iterations  which of them to show; by default the first ones and the last

    Raises `InputError` if matplotlib is not installed, for no maps, and for an iteration that was not recorded.

    Source: the arrangement is that of DeepLab (ICLR 2015), figure 2.
    """
    figures = import_extra("matplotlib.figure", extra="report")
    if not scores or len(scores) != len(beliefs):
        raise InputError(f"expected a score and a belief map an iteration, got {len(scores)} and {len(beliefs)}")
    last = len(scores) - 1
    shown = list(iterations) if iterations is not None else sorted({*range(min(COLUMNS - 1, last)), last})
    if wrong := [number for number in shown if not 0 <= number <= last]:
        raise InputError(f"iteration {wrong[0]} was not recorded; there are 0 to {last}")
    height, width = image.shape[:2]
    side = 2.2
    figure = figures.Figure(
        figsize=(side * (len(shown) + 1) + 0.4, 2 * side * height / width + 0.7), layout="constrained"
    )
    panels = figure.subplots(2, len(shown) + 1, squeeze=False)
    for panel in panels.flat:
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(False)
    panels[0, 0].imshow(image)
    panels[0, 0].set_title(f"image; class {name}", fontsize=9)
    panels[1, 0].set_visible(False)
    low, high = (float(pick([pick(scores[number]) for number in shown])) for pick in (np.min, np.max))
    rows = (("score", scores, {"cmap": "viridis", "vmin": low, "vmax": high}), ("belief", beliefs, BELIEF))
    for row, (said, maps, drawn) in zip(panels, rows, strict=True):
        pictures = [panel.imshow(maps[number], **drawn) for panel, number in zip(row[1:], shown, strict=True)]
        figure.colorbar(pictures[-1], ax=row[-1], label=said)
    for panel, number in zip(panels[0, 1:], shown, strict=True):
        panel.set_title("before" if number == 0 else f"iteration {number}", fontsize=9)
    with written_beside(target) as beside:
        figure.savefig(beside, dpi=130)
