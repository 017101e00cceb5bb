"""Proposals and their recall in, pictures out."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pixelwise.errors import import_extra
from pixelwise.evaluation.recall import COUNTS, Recall
from pixelwise.files import written_beside
from pixelwise.proposals.boxes import Proposals
from pixelwise.report.colours import CURVES
from pixelwise.report.curves import STROKES

DRAWN = 10
"""Boxes in a picture: more are a thicket."""


def draw_boxes(image: NDArray[np.uint8], proposals: Proposals, count: int = DRAWN) -> NDArray[np.uint8]:
    """The image `(H, W, 3)` with its `count` best boxes in sky blue, and the very best on top in vermilion."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    thick = max(2, round(max(picture.size) / 200))
    for rank in reversed(range(min(count, len(proposals)))):
        box = proposals.box(rank)
        corners = (box.x0, box.y0, box.x1 - 1, box.y1 - 1)
        # A dark line beside the coloured one: boxes show on any ground.
        draw.rectangle(corners, outline="black", width=thick + 1)
        draw.rectangle(corners, outline=CURVES[4] if rank else CURVES[1], width=thick)
    return np.array(picture)


def draw_recall(recalls: Mapping[str, Recall], target: str | os.PathLike[str]) -> None:
    """Draw recall against the number of boxes, a colour a proposer and a stroke a threshold, as a PNG at `target`.

    Raises `InputError` if matplotlib is not installed.
    """
    figures = import_extra("matplotlib.figure", extra="report")
    figure = figures.Figure(figsize=(7.5, 5), layout="constrained")
    panel = figure.subplots()
    counts = np.unique(np.geomspace(COUNTS[0], COUNTS[-1], 100).round().astype(int))
    for place, (name, recall) in enumerate(recalls.items()):
        values = np.array([recall.at(int(count)) for count in counts])
        for number, threshold in enumerate(recall.thresholds):
            panel.plot(
                counts, 100 * values[:, number], STROKES[number % len(STROKES)], color=CURVES[place % len(CURVES)],
                linewidth=2, label=f"{name}, overlap {threshold:g}",
            )  # fmt: skip
    first = next(iter(recalls.values()))
    panel.set_xscale("log")
    panel.set_xlim(counts[0], counts[-1])
    panel.set_xticks(COUNTS, [f"{count:,}" for count in COUNTS])
    panel.minorticks_off()
    panel.set_ylim(0, 100)
    panel.set_xlabel("boxes an image")
    panel.set_ylabel("objects found, %")
    panel.grid(color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle(f"{first.objects:,} objects in {first.images:,} images", x=0.01, ha="left", fontsize=11)
    with written_beside(target) as beside:
        figure.savefig(beside, dpi=160)
