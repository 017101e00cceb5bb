"""Where things are: coordinates of feature maps, boxes, sizes, and the moves between image frames.

Sizes are `(height, width)` everywhere, images `(H, W, C)`, scores `(K, H, W)`. Every function asserts the size it made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.errors import InputError

Size = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """Where the cells of a feature map lie in the image: the centre of cell `i` is at pixel `scale * i + shift`.

    Layers are followed with `through` and `through_transposed`; two maps of one scale are aligned with
    `offset_in`. The rule is the one of Caffe's `coord_map.py`, inverted to speak of positions. `field` is the side of
    the square of pixels that a cell sees; two grids are equal whatever their cells see.

    Sources: FCN (Shelhamer et al., PAMI 2017), section 4.1 and its released `net.py`, which crops by this rule; section 3
    for the field.
    """

    scale: float = 1.0
    shift: float = 0.0
    field: float = field(default=1.0, compare=False)

    def through(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Grid:
        """The grid after a convolution or pooling with this kernel, stride, padding before the first cell, dilation."""
        reach = self.scale * dilation * (kernel - 1)
        return Grid(self.scale * stride, self.shift + reach / 2 - self.scale * padding, self.field + reach)

    def through_transposed(self, kernel: int, stride: int, padding: int = 0) -> Grid:
        """The grid after a transposed convolution."""
        scale = self.scale / stride
        seen = math.ceil(kernel / stride)  # cells of this grid, at most, that one cell of the new grid is made of
        return Grid(scale, self.shift - scale * ((kernel - 1) / 2 - padding), self.field + self.scale * (seen - 1))

    def padded(self, cells: int) -> Grid:
        """The grid after `cells` cells are put before the first one."""
        return Grid(self.scale, self.shift - self.scale * cells, self.field)

    def seen_from(self, other: Grid) -> Grid:
        """Where the cells lie among the cells of `other` instead of the image's pixels."""
        return Grid(self.scale / other.scale, (self.shift - other.shift) / other.scale, self.field / other.scale)

    def offset_in(self, other: Grid) -> int:
        """The index in `other` at which cell 0 of this grid lies: where to begin cutting `other` to this grid.

        Raises `ValueError` if the two have different scales or the place is no whole, non-negative index.
        """
        offset = (self.shift - other.shift) / other.scale
        if self.scale != other.scale or offset < 0 or offset != round(offset):
            raise ValueError(f"no whole crop brings {other} onto {self}: offset {offset}")
        return int(offset)


IMAGE_GRID = Grid()


@dataclass(frozen=True)
class Box:
    """A half-open rectangle in pixels: rows `y0 <= y < y1`, columns `x0 <= x < x1`; it may leave the image."""

    y0: int
    x0: int
    y1: int
    x1: int

    def __post_init__(self) -> None:
        if self.y1 <= self.y0 or self.x1 <= self.x0:
            raise ValueError(f"a box needs y0 < y1 and x0 < x1, got {self}")

    @property
    def size(self) -> Size:
        """`(height, width)` in pixels."""
        return self.y1 - self.y0, self.x1 - self.x0

    def within(self, size: Size) -> Box:
        """The part of the box inside an image of `(H, W)`; raises `ValueError` if there is none."""
        return Box(max(self.y0, 0), max(self.x0, 0), min(self.y1, size[0]), min(self.x1, size[1]))


def square_around(box: Box, factor: float = 1.0) -> Box:
    """The square about a box's centre whose side is `factor` times the box's longer one; it may leave the image.

    In whole pixels: the side is rounded, and where it is odd and the box is not, or the other way round, the square lies
    half a pixel above or left of the centre.
    """
    side = max(1, round(factor * max(box.size)))
    y0, x0 = (box.y0 + box.y1 - side) // 2, (box.x0 + box.x1 - side) // 2
    return Box(y0, x0, y0 + side, x0 + side)


def intersection_over_union(boxes: NDArray, others: NDArray) -> NDArray[np.float64]:
    """How far boxes `(M, 4)` and others `(N, 4)`, as `(y0, x0, y1, x1)` half-open, are the same: `(M, N)`, 0..1."""
    one, other = np.asarray(boxes, np.int64)[:, None], np.asarray(others, np.int64)[None]
    common = (np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])).clip(0).prod(-1)
    areas = [(array[..., 2:] - array[..., :2]).prod(-1) for array in (one, other)]
    return common / (areas[0] + areas[1] - common)


@dataclass(frozen=True)
class SizeRule:
    """Which image sides a network takes: `offset + multiple * k`, from `minimum` to `maximum` (None = no limit)."""

    minimum: int = 1
    maximum: int | None = None
    multiple: int = 1
    offset: int = 0

    def admits(self, size: Size) -> bool:
        """Whether both sides can be given to the network as they are."""
        return all(self._next(side) == side for side in size)

    def padded(self, size: Size) -> Size:
        """The smallest size the network takes that holds `size`; raises `InputError` beyond the maximum."""
        padded = self._next(size[0]), self._next(size[1])
        if self.maximum is not None and max(padded) > self.maximum:
            raise InputError(f"the network takes sides up to {self.maximum} pixels, got {size}: shrink the image first")
        return padded

    def shrunk(self, size: Size) -> Size:
        """`size`, or its largest scaled copy (same aspect, rounded down) that `padded` takes."""
        if self.maximum is None or max(size) <= (largest := self._largest(self.maximum)):
            return size
        factor = largest / max(size)
        return max(1, int(size[0] * factor)), max(1, int(size[1] * factor))

    def _next(self, side: int) -> int:
        side = max(side, self.minimum)
        return self.offset + self.multiple * math.ceil((side - self.offset) / self.multiple)

    def _largest(self, maximum: int) -> int:
        """The largest side that the network takes; a longer one may be below the maximum, but is not once it is padded."""
        return self.offset + self.multiple * ((maximum - self.offset) // self.multiple)


def resize_image(image: NDArray, size: Size, part: Box | None = None) -> NDArray:
    """Bilinear resampling of an image `(H, W, C)`, uint8 or float32, antialiased when it shrinks; keeps the type.

    Of the image at `size` only `part` is made, if one is given: the same pixels but for rounding, sooner.
    """
    part = part or Box(0, 0, *size)
    if image.shape[:2] == size:
        return image[part.y0 : part.y1, part.x0 : part.x1]
    if image.dtype == np.uint8 and image.shape[2] == 3:  # Pillow takes three channels of bytes at once, and no others
        return _resampled(image, size, part)
    return np.stack([_resampled(image[..., channel], size, part) for channel in range(image.shape[2])], axis=2)


def resize_scores(scores: NDArray, size: Size) -> NDArray:
    """The same for planes `(K, H, W)`, uint8 or float32."""
    if scores.shape[1:] == size:
        return scores
    return np.stack([_resampled(plane, size, Box(0, 0, *size)) for plane in scores])


def _resampled(pixels: NDArray, size: Size, part: Box) -> NDArray:
    height, width = part.size
    y0, y1 = (side * pixels.shape[0] / size[0] for side in (part.y0, part.y1))
    x0, x1 = (side * pixels.shape[1] / size[1] for side in (part.x0, part.x1))
    resized = np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box=(x0, y0, x1, y1)))
    assert resized.shape == (*part.size, *pixels.shape[2:])
    return resized


def resize_labels(labels: NDArray, size: Size, part: Box | None = None) -> NDArray:
    """Nearest-neighbour resampling of a label map `(H, W)`: no value is invented. Centres are aligned, as in `resize_image`.

    Halfway between two pixels it is the later one. Of the map at `size` only `part` is made, if one is given.
    """
    part = part or Box(0, 0, *size)
    rows, columns = (
        (2 * np.arange(begin, end) + 1) * have // (2 * want)  # of the pixel's centre, in whole numbers
        for begin, end, have, want in zip((part.y0, part.x0), (part.y1, part.x1), labels.shape, size, strict=True)
    )
    return labels[rows].take(columns, axis=1)


def crop(array: NDArray, box: Box, fill: float | tuple[float, ...]) -> NDArray:
    """Cut `box` out of an image `(H, W, C)` or a map `(H, W)`; what lies outside is `fill`: one value, or one a channel.

    In arrays of whole numbers it is rounded. Where nothing lies outside, the answer shares the array's memory.
    """
    filling = np.rint(fill) if array.dtype.kind in "iu" else np.asarray(fill)
    try:
        inside = box.within((array.shape[0], array.shape[1]))
    except ValueError:  # no overlap at all: everything is fill
        return np.broadcast_to(filling, (*box.size, *array.shape[2:])).astype(array.dtype)
    seen = array[inside.y0 : inside.y1, inside.x0 : inside.x1]
    if inside == box:
        return seen
    cut = np.empty((*box.size, *array.shape[2:]), array.dtype)
    y0, x0, y1, x1 = inside.y0 - box.y0, inside.x0 - box.x0, inside.y1 - box.y0, inside.x1 - box.x0
    cut[y0:y1, x0:x1] = seen
    for outside in (cut[:y0], cut[y1:], cut[y0:y1, :x0], cut[y0:y1, x1:]):  # alone: a fill a channel is slow to write
        outside[...] = filling
    return cut
