"""Random views of a sample: drawn once, then applied alike to image and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.data.sample import Sample
from pixelwise.geometry import IMAGE_GRID, Box, Grid, Size, crop, resize_image, resize_labels
from pixelwise.labels import IGNORE


@dataclass(frozen=True)
class Augmentation:
    """How far a training view may differ from its image.

    scale       factors between which the image is resized (drawn evenly in the logarithm)
    crop        side of the square that is cut, in pixels; None keeps the whole image
    jitter      largest shift of the window, in pixels, on top of where it lies; it may then leave the image
    flip        probability of mirroring left and right
    brightness  largest relative change of all pixels
    contrast    largest relative change of the distance from the mean pixel
    saturation  largest relative change of the distance from grey
    stretch     both sides that the image is resized to, in pixels, before it is scaled; None keeps its own
    overhang    where a window larger than the image hangs over: "around", at random, or "behind", right and below
    sampled     part of the `cells` whose pixels keep their labels, each chosen for itself; the others are ignored
    cells       a network's: where they lie in the window

    Sources: FCN (PAMI 2017), section 4.4, for `sampled`; DeepLab v1's released Caffe (ICLR 2015) for "behind".
    """

    scale: tuple[float, float] = (1.0, 1.0)
    crop: int | None = None
    jitter: int = 0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    stretch: int | None = None
    overhang: Literal["around", "behind"] = "around"
    sampled: float = 1.0
    cells: Grid = IMAGE_GRID

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale needs two factors 0 < smallest <= largest, got {self.scale}")


@dataclass(frozen=True)
class View:
    """One drawn view: the size to resize to, the box to cut there, and the changes of colour (factors, 1 = none).

    kept  `(h, w)`, which pixels of the window keep their labels; None: all
    """

    size: Size
    box: Box
    flipped: bool
    brightness: float
    contrast: float
    saturation: float
    kept: NDArray[np.bool_] | None = None


def draw_view(size: Size, settings: Augmentation, generator: np.random.Generator) -> View:
    """Draw a view of an image of `size`; the same generator state gives the same view."""
    factor = float(np.exp(generator.uniform(*np.log(settings.scale))))
    sides = size if settings.stretch is None else (settings.stretch, settings.stretch)
    resized = max(1, round(sides[0] * factor)), max(1, round(sides[1] * factor))
    window = resized if settings.crop is None else (settings.crop, settings.crop)
    # A window larger than the image may hang over at any side; a smaller one lies anywhere inside.
    around = settings.overhang == "around"
    y0, x0 = (
        int(
            generator.integers(
                (min(0, have - want) if around else 0) - settings.jitter, max(0, have - want) + settings.jitter + 1
            )
        )
        for have, want in zip(resized, window, strict=True)
    )
    return View(
        size=resized,
        box=Box(y0, x0, y0 + window[0], x0 + window[1]),
        flipped=bool(generator.random() < settings.flip),
        brightness=1 + settings.brightness * generator.uniform(-1, 1),
        contrast=1 + settings.contrast * generator.uniform(-1, 1),
        saturation=1 + settings.saturation * generator.uniform(-1, 1),
        kept=None if settings.sampled == 1 else _draw_cells(window, settings, generator),
    )


def _draw_cells(window: Size, settings: Augmentation, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Which pixels of the window lie on cells that are kept: each belongs to the nearest one."""
    grid = settings.cells
    rows, columns = (np.floor((np.arange(side) - grid.shift) / grid.scale + 0.5).astype(int) for side in window)
    rows, columns = rows - rows[0], columns - columns[0]
    kept = generator.random((rows[-1] + 1, columns[-1] + 1)) < settings.sampled
    return kept[np.ix_(rows, columns)]


def apply_view(sample: Sample, view: View, fill: tuple[float, ...]) -> tuple[NDArray, dict[str, NDArray[np.uint8]]]:
    """The view of a sample: image `(h, w, C)` of the sample's type, and label maps `(h, w)`; to be read, not written to.

    Outside the image, pixels are `fill` (raw values, the network's own) and labels are ignore.
    """
    try:
        shown = view.box.within(view.size)
    except ValueError:  # the window misses the image
        shown = Box(0, 0, 1, 1)
    place = Box(view.box.y0 - shown.y0, view.box.x0 - shown.x0, view.box.y1 - shown.y0, view.box.x1 - shown.x0)
    # What the window does not show is neither resized nor recoloured.
    image = _recolour(resize_image(sample.image, view.size, shown), sample.image, view)
    image = crop(image, place, fill)
    labels = {
        head: crop(resize_labels(labels, view.size, shown), place, IGNORE) for head, labels in sample.labels.items()
    }
    if view.flipped:
        # NumPy mirrors planes in a quarter of the time that it takes for pixels.
        image = np.stack([image[:, ::-1, channel] for channel in range(image.shape[2])], axis=2)
        labels = {head: map_[:, ::-1] for head, map_ in labels.items()}
    if view.kept is not None:
        labels = {head: np.where(view.kept, map_, np.uint8(IGNORE)) for head, map_ in labels.items()}
    return image, labels


def _recolour(image: NDArray, whole: NDArray, view: View) -> NDArray:
    """Saturation, contrast and brightness, one after the other, of a part of the picture `whole`.

    With s, c and b for them, grey the mean of a pixel's channels and mean that of `whole`, which s leaves as it is:
    b (mean + c (grey + s (image - grey) - mean)). That is a matrix for the channels of each pixel, and one sum to add.
    """
    if view.brightness == view.contrast == view.saturation == 1:
        return image
    channels = image.shape[2]
    both = view.brightness * view.contrast
    matrix = np.full((channels, channels), both * (1 - view.saturation) / channels)
    matrix += both * view.saturation * np.eye(channels)
    added = (view.brightness - both) * float(whole.mean())
    if image.dtype == np.uint8 and channels == 3:  # Pillow does all at once, for these alone
        rows = np.column_stack([matrix, [added] * channels]).ravel().tolist()
        return np.asarray(Image.fromarray(image).convert("RGB", rows))
    changed = (image @ matrix.astype(np.float32) + np.float32(added)).clip(0, 255)
    return np.rint(changed).astype(np.uint8) if image.dtype == np.uint8 else changed
