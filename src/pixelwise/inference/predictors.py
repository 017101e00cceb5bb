"""Networks as predictors: what runs a network on one image and undoes whatever it did to the image's size."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pixelwise.errors import InputError, first_line
from pixelwise.geometry import Box, crop, resize_image, resize_scores
from pixelwise.models.network import Network


class WholeImage:
    """A network as a predictor: shrinks what is too large, pads to a size the network takes, and undoes both."""

    def __init__(self, network: Network, device: torch.device | str | None = None) -> None:
        self.device = _device(device)
        self.network = network.to(self.device).eval()

    def __call__(self, image: NDArray) -> NDArray[np.float32]:
        """Scores `(K, H, W)` of an image `(H, W, 3)`, at its size."""
        size = image.shape[0], image.shape[1]
        shrunk = self.network.sizes.shrunk(size)
        padded = self.network.sizes.padded(shrunk)
        real = image.astype(np.float32)  # so that neither the shrunken pixels nor the fill are rounded
        given = crop(resize_image(real, shrunk), Box(0, 0, *padded), self.network.fill)
        tensor = torch.from_numpy(given).to(self.device).permute(2, 0, 1)[None]
        with torch.inference_mode():
            scores = self.network(tensor)[0, :, : shrunk[0], : shrunk[1]].float().cpu().numpy()
        return resize_scores(scores, size)


def _device(wanted: torch.device | str | None) -> torch.device:
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch answers a missing CUDA build with an assertion
        raise InputError(f"device '{wanted}' cannot be used here ({first_line(error)}); use cpu") from error
    return device
