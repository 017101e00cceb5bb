"""Predictors: any callable from an image `(H, W, C)` to its scores `(K, H, W)`, in the image's own frame.

Images are RGB 0..255, uint8 or float; scores are float32 logits, so that softmax(scores) is the prediction.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from pixelwise.geometry import Box, crop, resize_image, resize_scores
from pixelwise.models.network import Network


class Predictor(Protocol):
    """Image `(H, W, C)` -> scores `(K, H, W)` float32."""

    def __call__(self, image: NDArray) -> NDArray[np.float32]: ...


class Refiner(Protocol):
    """Image and scores -> scores of the same shape; the softmax is taken inside, once."""

    def __call__(self, image: NDArray, scores: NDArray[np.float32]) -> NDArray[np.float32]: ...


class WholeImage:
    """A network as a predictor: shrinks what is too large, pads to a size the network takes, and undoes both."""

    def __init__(self, network: Network, device: torch.device | str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.network = network.to(self.device).eval()

    def __call__(self, image: NDArray) -> NDArray[np.float32]:
        """Scores at the size of the image."""
        size = image.shape[0], image.shape[1]
        shrunk = self.network.sizes.shrunk(size)
        padded = self.network.sizes.padded(shrunk)
        given = crop(resize_image(image, shrunk), Box(0, 0, *padded), self.network.fill)
        tensor = torch.from_numpy(given).to(self.device).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            scores = self.network(tensor)[0, :, : shrunk[0], : shrunk[1]].float().cpu().numpy()
        return resize_scores(scores, size)
