"""What training minimises. An objective owns how the network is called and which labels it is compared with."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional

from pixelwise.data.batches import Batch
from pixelwise.labels import IGNORE, MAIN
from pixelwise.models.network import Network


class Objective(Protocol):
    """A sum over labelled places, and how many there are.

    The loop divides by the count over all processes and accumulated batches, so that a step weighs every labelled
    pixel alike, however the pixels are spread.
    """

    def count(self, batch: Batch) -> Tensor:
        """The number of places the sum runs over, a scalar."""
        ...

    def __call__(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """The named parts of the sum, each a scalar in float32; what is minimised is their total."""
        ...


class PixelObjective:
    """Softmax cross-entropy summed over all labelled pixels at the images' size; ignored pixels do not enter.

    Source: FCN (PAMI 2017), section 4.2.
    """

    def count(self, batch: Batch) -> Tensor:
        """Labelled pixels."""
        return (batch.labels[MAIN] != IGNORE).sum()

    def __call__(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """One part, `pixels`; 0 where every pixel is ignored."""
        scores = network(batch.images).float()
        return {"pixels": functional.cross_entropy(scores, batch.labels[MAIN], ignore_index=IGNORE, reduction="sum")}


class Trainee(nn.Module):
    """A network with its objective, as one module: what several processes wrap, so that any way of calling it is synchronised."""

    def __init__(self, network: Network, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The named parts of the sum that is minimised."""
        return self.objective(self.network, batch)
