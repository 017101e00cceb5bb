"""EdgeBoxes through OpenCV: edges in, boxes out around contours that lie wholly inside, best first.

Source: Edge Boxes: Locating Object Proposals from Edges (Zitnick & Dollár, ECCV 2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError, import_extra
from pixelwise.geometry import Size, resize_image
from pixelwise.proposals.boxes import Proposals
from pixelwise.proposals.edges import EdgeDetector, EdgeMap, gradient_edges

LARGEST_ALPHA = 0.95
"""Beyond it windows lie so close that the search takes minutes."""


@dataclass(frozen=True)
class EdgeBoxes:
    """A proposer: an image's edges, and the boxes that hold the most whole contours.

    Measures in pixels are those of the image as it is searched, shrunk to `longest_side`; boxes come back in its own frame.

    edges            image -> edges
    longest_side     what larger images are shrunk to; None searches them as they are, and takes long for photographs
    most_edges       part of the pixels that may be edges, the strongest: it bounds the time on noise and texture
    alpha            overlap of neighbouring windows in the search, as intersection over union; more finds more, slower
    beta             overlap above which the weaker of two boxes is dropped; the IoU one wants to reach and 0.05
    eta              what beta is multiplied by after each box that is kept
    min_score        objectness below which a box is dropped
    max_boxes        how many boxes are kept
    edge_min_mag     strength below which a pixel is no edge
    edge_merge_thr   bend, in half turns, at which a contour is cut in two
    cluster_min_mag  summed strength below which a contour is dissolved
    max_aspect_ratio of a box, either way
    min_box_area     in pixels
    gamma            how much contours that do not continue each other are held apart
    kappa            how much large boxes are held back

    Sources: the numbers are those of the released `edgeBoxes.m`, where no other is named.
    """

    edges: EdgeDetector = gradient_edges
    longest_side: int | None = 500  # the longest in PASCAL VOC, for whose images the numbers in pixels were chosen
    most_edges: float = 0.15  # ours: gradients of photographs give up to so many, and noise then takes seconds
    alpha: float = 0.65
    beta: float = 0.75
    eta: float = 1.0
    min_score: float = 0.01
    max_boxes: int = 2000  # Source: DeconvNet (Noh et al., ICCV 2015), section 5; the released edgeBoxes.m has 10,000
    edge_min_mag: float = 0.1
    edge_merge_thr: float = 0.5
    cluster_min_mag: float = 0.5
    max_aspect_ratio: float = 3.0
    min_box_area: float = 1000.0
    gamma: float = 2.0
    kappa: float = 1.5

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if not (value is None and name == "longest_side") and not least <= value <= most:
                raise InputError(f"EdgeBoxes: expected {name} from {least:g} to {most:g}, got {value}: choose another")

    @property
    def settings(self) -> dict[str, float | None]:
        """Every number by its name: what was done, for records; where the edges come from is not in it."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "edges"}

    def __call__(self, image: NDArray[np.uint8]) -> Proposals:
        """The proposals for an image `(H, W, 3)` uint8, RGB, in its frame; none where it has no edges."""
        size = image.shape[0], image.shape[1]
        return self.of_edges(self.edges(resize_image(image, self.searched(size))), size)

    def searched(self, size: Size) -> Size:
        """The size at which an image of `(H, W)` is searched."""
        longest = max(size)
        if self.longest_side is None or longest <= self.longest_side:
            return size
        return max(1, round(size[0] * self.longest_side / longest)), max(
            1, round(size[1] * self.longest_side / longest)
        )

    def of_edges(self, edges: EdgeMap, size: Size | None = None) -> Proposals:
        """The proposals for edges that are there already, in the frame of an image of `size`; by default of the map's."""
        search = edge_boxes_module().createEdgeBoxes(**self._opencv())
        strongest = _strongest(edges.strength, self.most_edges)
        found, scores = search.getBoundingBoxes(strongest, np.ascontiguousarray(edges.direction))
        if len(found) == 0:
            return Proposals(np.zeros((0, 4), np.int64), np.zeros(0, np.float32))
        # OpenCV's corners are counted from 1, as in the MATLAB code it was made from.
        x0, y0, wide, high = np.asarray(found, np.float64).T - np.array([[1], [1], [0], [0]])
        corners = np.stack([y0, x0, y0 + high, x0 + wide], axis=1)
        return Proposals(_in_frame(corners, edges.strength.shape, size), np.asarray(scores, np.float32).ravel())

    def _opencv(self) -> dict[str, Any]:
        """The numbers by the names that OpenCV gives them."""
        named = {name: value for name, value in self.settings.items() if name not in ("longest_side", "most_edges")}
        words = {name: name.split("_") for name in named}
        return {first + "".join(map(str.title, rest)): named[name] for name, (first, *rest) in words.items()}


_BOUNDS = {
    "longest_side": (16, math.inf), "most_edges": (0, 1), "alpha": (0.05, LARGEST_ALPHA), "beta": (0, 1), "eta": (0, 1),
    "min_score": (0, math.inf), "max_boxes": (1, math.inf), "edge_min_mag": (0, 1), "edge_merge_thr": (0, math.inf),
    "cluster_min_mag": (0, math.inf), "max_aspect_ratio": (1, 100), "min_box_area": (16, math.inf),
    "gamma": (0, math.inf), "kappa": (0, math.inf),
}  # fmt: skip


def edge_boxes_module() -> ModuleType:
    """OpenCV's `ximgproc`; `InputError` where OpenCV is missing, or is one of the wheels that come without."""
    cv2 = import_extra("cv2", extra="proposals")
    module = getattr(cv2, "ximgproc", None)
    if module is None or getattr(module, "createEdgeBoxes", None) is None:
        raise InputError(
            "the OpenCV that is installed has no ximgproc: another of its wheels overwrote the contrib one; "
            "`pixelwise doctor` names them, and the line that mends it"
        )
    assert isinstance(module, ModuleType)
    return module


def _strongest(strength: NDArray[np.float32], part: float) -> NDArray[np.float32]:
    """The strengths, with 0 for all but the strongest `part` of the pixels."""
    allowed = int(part * strength.size)
    if np.count_nonzero(strength) <= allowed:
        return np.ascontiguousarray(strength)
    weakest = np.partition(strength.ravel(), -allowed - 1)[-allowed - 1]
    return np.where(strength > weakest, strength, np.float32(0))


def _in_frame(corners: NDArray[np.float64], searched: Size, size: Size | None) -> NDArray[np.int64]:
    """Corners `(M, 4)` from the searched frame to the one of an image of `size`, inside it."""
    height, width = size or searched
    limits = np.array([height, width, height, width])
    factors = limits / np.array([*searched, *searched])
    boxes = (corners * factors).round().astype(np.int64).clip(0, limits)
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    return boxes
