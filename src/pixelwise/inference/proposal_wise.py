"""A network on windows around an image's proposals: each is scored at the network's side, all are laid over the image.

Source: DeconvNet (Noh, Hong & Han, ICCV 2015), section 5.1, equations (1) and (2), and the released `inference/*.m`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError, unknown_name
from pixelwise.geometry import Box, crop, resize_image, resize_scores, square_around
from pixelwise.inference.predictors import WholeImage, as_logits
from pixelwise.proposals.boxes import Proposer

BOXES = 50  # Source: DeconvNet, section 6.1
MINIMUM_SIDE = 112  # pixels. Source: the released `inference/*.m`; the paper states none
ENLARGED = 1.2  # Source: DeconvNet, section 4.2, of its training; the release's boxes are enlarged already
SIDE = 224  # pixels. Source: DeconvNet, table 2
BATCH = 25  # ours: half of the boxes

MERGES = {"max": np.maximum, "sum": np.add, "mean": np.add}

_log = logging.getLogger("pixelwise")


class ProposalWise:
    """A network that sees an image through windows around its proposals, as one predictor.

    Each window is a square about a box, may leave the image, and is resized to the network's side; its scores are resized
    back and merged, in the image's frame, over zeros:

    network       what is run, best its `faster()`; where there is no window, it answers for the whole image
    proposer      image -> boxes, best first
    boxes         how many windows are scored, those of the best boxes
    minimum_side  in pixels; a smaller window is passed over and does not count
    enlarged      a window's side over the longer one of its box
    side          in pixels, of the network's input
    merge         "max", over windows and 0; "sum", over windows; "mean", over the windows that cover a pixel. No window: 0
    fill          RGB 0..255 outside the image; None: the network's own, as in our training windows; the release has black
    batch         windows that pass the network together: it bounds the memory, and changes no score but by rounding
    progress      called with how many windows are done, and how many there are

    Memory beyond the scores' own: a batch and its scores, and one plane of the largest window. For an image in which there
    is no window, one line is logged. The more windows add up in a "sum", the surer its softmax is.

    Raises `InputError` for numbers out of range, an unknown merge, and a side that the network does not take.
    """

    def __init__(
        self,
        network: WholeImage,
        proposer: Proposer,
        *,
        boxes: int = BOXES,
        minimum_side: int = MINIMUM_SIDE,
        enlarged: float = ENLARGED,
        side: int = SIDE,
        merge: str = "max",
        fill: tuple[float, ...] | None = None,
        batch: int = BATCH,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        for name, value in (("boxes", boxes), ("minimum_side", minimum_side), ("side", side), ("batch", batch)):
            if value < 1:
                raise InputError(f"proposals: expected {name} of 1 or more, got {value}: choose another")
        if not 1 <= enlarged < np.inf:
            raise InputError(
                f"proposals: expected enlarged to be a factor of 1 or more, got {enlarged}: try {ENLARGED}"
            )
        if merge not in MERGES:
            raise unknown_name("merge of proposals", merge, MERGES)
        if not (sizes := network.network.sizes).admits((side, side)):
            raise InputError(
                f"the network takes no windows of side {side}: try {sizes.padded(sizes.shrunk((side, side)))[0]}"
            )
        self.network = network
        self.proposer = proposer
        self.boxes = boxes
        self.minimum_side = minimum_side
        self.enlarged = enlarged
        self.side = side
        self.merge = merge
        self.fill = network.network.fill if fill is None else fill
        self.batch = batch
        self.progress = progress

    def __call__(self, image: NDArray) -> NDArray[np.float32]:
        """The logits `(K, H, W)` of an image `(H, W, 3)`, of the merged scores; those of the whole image without a window."""
        return self.answers(image, [(self.boxes, self.merge)])[self.boxes, self.merge]

    def answers(self, image: NDArray, ways: Collection[tuple[int, str]]) -> dict[tuple[int, str], NDArray[np.float32]]:
        """What `__call__` would give with these numbers of boxes, up to `boxes`, and merges; each window is scored once."""
        assert all(boxes <= self.boxes and merge in MERGES for boxes, merge in ways)
        windows = self.windows(image)
        if not windows:
            return dict.fromkeys(ways, self.network(image))
        size = image.shape[0], image.shape[1]
        classes = self.network.network.heads[self.network.head]
        merged = {merge: np.zeros((classes, *size), np.float32) for _, merge in ways}
        covering = np.zeros(size, np.float32)
        ends = {way: (min(way[0], len(windows)), way[1]) for way in ways}
        answers = dict[tuple[int, str], NDArray[np.float32]]()
        for laid, (window, scores) in enumerate(self._scored(image, windows), start=1):
            self._lay(scores, window, merged)
            covering[_slices(window.within(size))] += 1
            for merge in [merge for end, merge in set(ends.values()) if end == laid]:
                whole = merged[merge] if laid == len(windows) else merged[merge].copy()
                if merge == "mean":
                    whole /= np.maximum(covering, 1)
                answers[laid, merge] = as_logits(whole, self.network.link)
        return {way: answers[end] for way, end in ends.items()}

    def _scored(self, image: NDArray, windows: Sequence[Box]) -> Iterator[tuple[Box, NDArray[np.float32]]]:
        """Each window with its scores `(K, side, side)`, a batch at a time."""
        real = image.astype(np.float32)  # so that neither resized pixels nor the fill are rounded
        for begin in range(0, len(windows), self.batch):
            part = windows[begin : begin + self.batch]
            shown = [resize_image(crop(real, window, self.fill), (self.side, self.side)) for window in part]
            yield from zip(part, self.network.score(np.stack(shown)), strict=True)
            if self.progress is not None:
                self.progress(begin + len(part), len(windows))

    def windows(self, image: NDArray) -> tuple[Box, ...]:
        """The squares in which an image `(H, W, 3)` is scored, best first; where there is none, a line is logged."""
        height, width = image.shape[:2]
        if max(height, width) < self.minimum_side:
            self._log_whole(image, f"it is smaller than the least window, {self.minimum_side}")
            return ()
        proposals = self.proposer(np.rint(image).clip(0, 255).astype(np.uint8))
        squares = (square_around(proposals.box(rank), self.enlarged) for rank in range(len(proposals)))
        windows = tuple(square for square in squares if square.size[0] >= self.minimum_side)[: self.boxes]
        if not len(proposals):
            self._log_whole(image, "no proposals were found in it")
        elif not windows:
            self._log_whole(
                image, f"none of its {len(proposals)} proposals has a window of {self.minimum_side} or more"
            )
        return windows

    def _lay(self, scores: NDArray[np.float32], window: Box, merged: Mapping[str, NDArray[np.float32]]) -> None:
        """Merge the scores `(K, side, side)` of a window into those of the image, in place, by each of the merges."""
        size = next(iter(merged.values())).shape[1:]
        inside = window.within((size[0], size[1]))
        seen = Box(inside.y0 - window.y0, inside.x0 - window.x0, inside.y1 - window.y0, inside.x1 - window.x0)
        for place, plane in enumerate(scores):  # one at a time: a window may be larger than its image
            resized = resize_scores(plane[None], window.size)[0][_slices(seen)]
            for merge, scores_of_all in merged.items():
                whole = scores_of_all[place][_slices(inside)]
                MERGES[merge](whole, resized, out=whole)

    @staticmethod
    def _log_whole(image: NDArray, reason: str) -> None:
        _log.warning("image of %d x %d: %s; it is scored as a whole", *image.shape[:2], reason)


def _slices(box: Box) -> tuple[slice, slice]:
    return slice(box.y0, box.y1), slice(box.x0, box.x1)
