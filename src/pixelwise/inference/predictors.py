"""Networks as predictors: what runs a network on one image and undoes whatever it did to the image's size."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pixelwise.errors import InputError, first_line, unknown_name
from pixelwise.geometry import Box, crop, resize_image, resize_scores
from pixelwise.labels import MAIN
from pixelwise.models.folding import fold, in_pieces, quicken, shorten
from pixelwise.models.network import Link, Network
from pixelwise.models.precision import has_bfloat16

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
AUTO = "auto"
"""The precision that a device is quicker in."""


class WholeImage:
    """A network as a predictor: shrinks what is too large, pads to a size the network takes, and undoes both.

    link       what the network learned its scores to mean; see `as_logits`
    head       which of the network's heads gives the scores
    precision  what convolutions and products of matrices are computed in: "float32", "bfloat16", or "auto", which is
               bfloat16 where the device has it; scores are float32
    side       in pixels, to which both sides are padded at least, below and on the right, with what is nothing to the
               network; None: only as far as it must be

    Raises `InputError` for a device that cannot be used, an unknown precision, and a side beyond what the network takes.

    Source of `side`: DeepLab's released test networks, which see every image of VOC at 513 x 513.
    """

    def __init__(
        self,
        network: Network,
        device: torch.device | str | None = None,
        *,
        link: Link = "softmax",
        head: str = MAIN,
        precision: str = "float32",
        side: int | None = None,
    ) -> None:
        if precision not in (*PRECISIONS, AUTO):
            raise unknown_name("precision", precision, (*PRECISIONS, AUTO))
        if head not in network.heads:
            raise unknown_name("head", head, network.heads)
        largest = network.sizes.maximum
        if side is not None and (side < 1 or (largest is not None and side > largest)):
            up_to = "or more" if largest is None else f"to {largest}"
            raise InputError(f"padded: expected a side of 1 pixel {up_to}, got {side}: choose another")
        self.device = _device(device)
        self.network = network.to(self.device).eval()
        self.link: Link = link
        self.head = head
        self.precision = _quicker(self.device) if precision == AUTO else precision
        self.side = side

    def __call__(self, image: NDArray) -> NDArray[np.float32]:
        """Logits `(K, H, W)` of an image `(H, W, 3)`, at its size."""
        size = image.shape[0], image.shape[1]
        shrunk = self.network.sizes.shrunk(size)
        least = self.side or 1
        padded = self.network.sizes.padded((max(shrunk[0], least), max(shrunk[1], least)))
        real = image.astype(np.float32)  # so that neither the shrunken pixels nor the fill are rounded
        given = crop(resize_image(real, shrunk), Box(0, 0, *padded), self.network.fill)
        return as_logits(resize_scores(self.score(given[None])[0, :, : shrunk[0], : shrunk[1]], size), self.link)

    def score(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's own scores `(N, K, H, W)` of images `(N, H, W, 3)`, all of one size that it takes, in one pass."""
        kind = PRECISIONS[self.precision]
        tensor = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)
        with torch.inference_mode(), torch.autocast(self.device.type, kind, enabled=kind != torch.float32):
            size = tensor.shape[-2], tensor.shape[-1]
            return self.network.upsample(self.network.outputs(tensor), size)[self.head].float().cpu().numpy()

    def faster(self, precision: str = "float32") -> WholeImage:
        """The same with a network of its own, made for speed: norms folded, weights channels-last and in `precision`.

        Some layers are computed by other means, see `quicken`, and a few stay exact, see `shorten`. Scores differ
        by rounding. Worth its memory where many images are scored.
        """
        network = fold(self.network)
        if self.device.type == "cpu":
            network = in_pieces(network)
        copy = self._like(network, precision, self.side)
        quicken(copy.network)
        copy.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        if copy.precision != "float32":
            shorten(copy.network, PRECISIONS[copy.precision])
        return copy

    def padded_to(self, side: int) -> WholeImage:
        """The same on the same network, with images padded to `side` x `side` pixels at least."""
        return self._like(self.network, self.precision, side)

    def _like(self, network: Network, precision: str, side: int | None) -> WholeImage:
        return WholeImage(network, self.device, link=self.link, head=self.head, precision=precision, side=side)


def as_logits(scores: NDArray[np.float32], link: Link) -> NDArray[np.float32]:
    """A network's scores `(K, H, W)` -> logits, whose softmax is the prediction; the order of the classes stays.

    Those learned with "softmax" are such. Those learned with "sigmoid" say of each class for itself that its probability is
    sigmoid(score); they become the logarithms of these, so that the softmax is these, divided by their sum.
    """
    return scores if link == "softmax" else -np.logaddexp(np.float32(0), -scores)


def _quicker(device: torch.device) -> str:
    return "bfloat16" if has_bfloat16(device) else "float32"


def _device(wanted: torch.device | str | None) -> torch.device:
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch answers a missing CUDA build with an assertion
        raise InputError(f"device '{wanted}' cannot be used here ({first_line(error)}); use cpu") from error
    return device
