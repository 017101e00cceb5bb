"""Images with truth and predictions in, pictures for a page out: strips with the errors, a legend, a trimap drawn, heat.

Pictures are data URIs, so that a page is one file.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.evaluation.boundary import boundary_distance
from pixelwise.labels import IGNORE, LabelSpec
from pixelwise.report.colours import ERROR, heated, painted
from pixelwise.report.markup import Markup, element

LONGEST_SIDE = 320
"""Pictures are brought to this many pixels: four of them fit beside each other, and a page stays small."""

BANDS = (2, 10)  # DeepLab (ICLR 2015), figure 5: the bands that it draws, in pixels
WINDOW = 160
"""Side in pixels of the part of an image in which bands are drawn: two of them must be wide enough to be seen."""


@dataclass(frozen=True)
class Looked:
    """One image to look at: `image` `(H, W, 3)` uint8, `truth` and the models' predictions `(H, W)` uint8, by model."""

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    predicted: Mapping[str, NDArray[np.uint8]]


Look = Callable[[str], Looked]
"""Given the name of an image, what there is to look at."""


def strip(looked: Looked, spec: LabelSpec, said: str) -> Markup:
    """Image and truth, and each model's prediction and errors, side by side; `said` is the line below."""
    name, truth = looked.name, looked.truth
    panels = [
        _panel("image", _photograph(looked.image), f"{name}: the image"),
        _panel("truth", _drawing(_label_map(truth, spec)), f"{name}: the truth, with {_named(truth, spec)}"),
    ]
    for model, predicted in looked.predicted.items():
        of_model = f"{model}: " if len(looked.predicted) > 1 else ""
        wrong = (truth != predicted) & (truth != IGNORE)
        share = wrong.sum() / max(int((truth != IGNORE).sum()), 1)
        drawn, errors = _drawing(_label_map(predicted, spec)), _photograph(error_map(looked.image, truth, predicted))
        panels += [
            _panel(
                f"{of_model}prediction", drawn, f"{name}: predicted by {model}, with {_named(predicted, spec)}", "first"
            ),
            _panel(f"{of_model}errors", errors, f"{name}: {share:.1%} of the labelled pixels are wrong by {model}"),
        ]
    return row(panels, said)


def row(panels: Sequence[Markup], said: str) -> Markup:
    """Panels side by side, four in a line, and a line below them."""
    return element("figure", element("div", *panels, class_="strip"), element("figcaption", said))


def photograph_panel(title: str, image: NDArray[np.uint8], alt: str) -> Markup:
    """A panel of a `row` with an image `(H, W, 3)`; `alt` says what is to be seen."""
    return _panel(title, _photograph(image), alt)


def label_panel(title: str, labels: NDArray[np.uint8], spec: LabelSpec, alt: str) -> Markup:
    """A panel of a `row` with a label map `(H, W)`; its classes, in words, are added to `alt`."""
    return _panel(title, _drawing(_label_map(labels, spec)), f"{alt}, with {_named(labels, spec)}")


def heat_panel(title: str, plane: NDArray, alt: str) -> Markup:
    """A panel of a `row` with numbers 0..1 `(H, W)`: 0 is black, 1 is white; cells stay squares."""
    resized = Image.fromarray(heated(plane)).resize(_shown_size(plane), Image.Resampling.NEAREST)
    return _panel(title, _drawing(np.array(resized)), alt)


def legend(classes: Iterable[int], spec: LabelSpec) -> Markup:
    """The names of some classes, each beside a patch in its colour and pattern, and what the error map shows."""
    patch = (16, 24)
    entries = [(spec.names[index], painted(np.full(patch, index, np.uint8), spec)) for index in classes]
    entries += [("wrong", np.full((*patch, 3), ERROR, np.uint8)), ("not counted", np.full((*patch, 3), 255, np.uint8))]
    items = (element("li", element("img", src=_drawing(drawn), alt=""), name) for name, drawn in entries)
    return element("ul", *items, class_="legend")


def occurring(every: Iterable[Looked]) -> list[int]:
    """The classes that are in the truth or in a prediction of any of these images, in their order."""
    maps = (labels for looked in every for labels in (looked.truth, *looked.predicted.values()))
    return sorted({int(index) for labels in maps for index in np.unique(labels)} - {IGNORE})


def error_map(image: NDArray[np.uint8], truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image in pale grey `(H, W, 3)` with wrong pixels in crimson, and white where nothing is counted."""
    picture = _pale(image)
    picture[truth != predicted] = ERROR
    picture[truth == IGNORE] = 255
    return picture


def trimap_drawn(looked: Looked, spec: LabelSpec) -> Markup | None:
    """The bands of 2 and 10 pixels around boundaries, in the busiest part of an image; None where it has no boundary."""
    distance = boundary_distance(looked.truth)
    if not np.isfinite(distance).any():
        return None
    part = _busiest(distance <= BANDS[0])
    image, truth = looked.image[part], looked.truth[part]
    panels = [
        _panel("image", _photograph(image), f"{looked.name}: a part of the image"),
        _panel(
            "truth", _drawing(_label_map(truth, spec)), f"{looked.name}: the truth there, with {_named(truth, spec)}"
        ),
    ]
    for width in BANDS:
        drawn = np.where((distance[part] <= width)[..., None], image, 255).astype(np.uint8)
        drawn[truth == IGNORE] = 255
        panels.append(
            _panel(f"within {width} px", _photograph(drawn), f"{looked.name}: what lies within {width} pixels")
        )
    said = f"The bands of {BANDS[0]} and {BANDS[1]} pixels in a part of {looked.name}; white pixels are not counted in them"
    return row(panels, said)


def _busiest(near: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The window with the most true pixels, of those that begin at every sixteenth."""
    height, width = (min(WINDOW, side) for side in near.shape)
    sums = np.pad(near.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    tops, lefts = (range(0, side - window + 1, 16) for side, window in zip(near.shape, (height, width), strict=True))
    held = [
        (int(sums[y + height, x + width] - sums[y, x + width] - sums[y + height, x] + sums[y, x]), -y, -x)
        for y in tops
        for x in lefts
    ]
    _, up, back = max(held)
    return slice(-up, -up + height), slice(-back, -back + width)


def _panel(title: str, source: str, alt: str, place: str = "") -> Markup:
    picture = element("img", src=source, alt=alt)
    return element("div", picture, element("span", title), class_=f"panel {place}".rstrip())


def _pale(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = (160 + image.mean(-1, keepdims=True) * 80 / 255).astype(np.uint8)
    return np.repeat(grey, 3, axis=2)


def _label_map(labels: NDArray[np.uint8], spec: LabelSpec) -> NDArray[np.uint8]:
    """Painted at the size it is shown in, so that patterns stay patterns."""
    resized = Image.fromarray(labels).resize(_shown_size(labels), Image.Resampling.NEAREST)
    return painted(np.array(resized), spec)


def _shown_size(pixels: NDArray) -> tuple[int, int]:
    """Width and height, as Pillow wants them."""
    height, width = pixels.shape[:2]
    factor = LONGEST_SIDE / max(height, width)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _photograph(pixels: NDArray[np.uint8]) -> str:
    # BOX keeps a share of every pixel: a thin error in a large image gets paler, and does not vanish.
    shrunk = max(pixels.shape[:2]) > LONGEST_SIDE
    way = Image.Resampling.BOX if shrunk else Image.Resampling.NEAREST
    resized = Image.fromarray(np.ascontiguousarray(pixels)).resize(_shown_size(pixels), way)
    return _uri(resized, "jpeg", quality=85, subsampling=0)  # colours of half the size would blur the errors


def _drawing(pixels: NDArray[np.uint8]) -> str:
    return _uri(Image.fromarray(pixels), "png", optimize=True)


def _uri(picture: Image.Image, kind: str, **options: int) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _named(labels: NDArray[np.uint8], spec: LabelSpec) -> str:
    """The classes of a label map in words, largest first."""
    counts = np.bincount(labels.ravel(), minlength=IGNORE + 1)[:IGNORE]
    names = [spec.names[index] for index in np.argsort(-counts, kind="stable") if counts[index]]
    return ", ".join(names) if names else "no class"
