"""What training minimises. An objective owns how the network is called and which labels it is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
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
    """Softmax cross-entropy summed over labelled pixels at the images' size, in float32; ignored pixels do not enter.

    class_weights  `(K,)`, what a pixel of each class weighs; None: 1
    hardest        the share of a batch's labelled pixels that counts, those with the largest loss; None: all
    smoothing      the share of the target that is spread evenly over all classes

    Sources: FCN (PAMI 2017), section 4.2; for `hardest`, Shrivastava et al., OHEM (CVPR 2016), here with a fixed share;
    for `smoothing`, Szegedy et al. (CVPR 2016), section 7.
    """

    def __init__(
        self, class_weights: Sequence[float] | None = None, hardest: float | None = None, smoothing: float = 0.0
    ) -> None:
        assert class_weights is None or hardest is None, "a share of weighted pixels has no agreed meaning"
        self.class_weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.hardest = hardest
        self.smoothing = smoothing

    def count(self, batch: Batch) -> Tensor:
        """The weight of the pixels that the sum runs over."""
        labels = batch.labels[MAIN]
        labelled = labels[labels != IGNORE]
        if self.class_weights is not None:
            return self.class_weights.to(labels.device)[labelled].sum()
        return labelled.new_tensor(self._kept(labelled.numel()))

    def __call__(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """One part, `pixels`; 0 where every pixel is ignored."""
        labels = batch.labels[MAIN]
        scores = network(batch.images).float()
        weights = None if self.class_weights is None else self.class_weights.to(labels.device)
        losses = functional.cross_entropy(
            scores, labels, weights, ignore_index=IGNORE, reduction="none", label_smoothing=self.smoothing
        )
        if self.hardest is not None:
            labelled = labels != IGNORE
            losses = losses[labelled].topk(self._kept(int(labelled.sum()))).values
        return {"pixels": losses.sum()}

    def _kept(self, labelled: int) -> int:
        return labelled if self.hardest is None else math.ceil(self.hardest * labelled)


class Trainee(nn.Module):
    """A network with its objective, as one module: what several processes wrap, so that any way of calling it is synchronised."""

    def __init__(self, network: Network, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The named parts of the sum that is minimised."""
        return self.objective(self.network, batch)
