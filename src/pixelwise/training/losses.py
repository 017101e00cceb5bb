"""Scores and labels in, one sum out: how much the scores of labelled places differ from their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from pixelwise.labels import IGNORE
from pixelwise.models.network import Link


class Loss:
    """Cross-entropy summed over labelled places, in float32; ignored places do not enter.

    class_weights  `(K,)`, what a place of each class weighs; None: 1
    hardest        the share of a batch's labelled places that counts, those with the largest loss; None: all
    smoothing      the share of the target that is spread evenly over all classes; of a softmax only
    link           "softmax": one class of all. "sigmoid": each class for itself, there or not, the sum over the classes;
                   a class whose score is held at 0, as a null background's is, adds the constant log 2

    Sources: FCN (PAMI 2017), sections 4.2 and 4.4; for `hardest`, Shrivastava et al., OHEM (CVPR 2016), here with a fixed
    share; for `smoothing`, Szegedy et al. (CVPR 2016), section 7.
    """

    def __init__(
        self,
        class_weights: Sequence[float] | None = None,
        hardest: float | None = None,
        smoothing: float = 0.0,
        link: Link = "softmax",
    ) -> None:
        assert class_weights is None or hardest is None, "a share of weighted places has no agreed meaning"
        assert link == "softmax" or not smoothing, "there is no one target to spread"
        self.class_weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.hardest = hardest
        self.smoothing = smoothing
        self.link = link

    def count(self, labels: Tensor) -> Tensor:
        """The weight of the places of `labels` `(N, h, w)` that the sum runs over, a scalar."""
        labelled = labels != IGNORE
        if self.class_weights is not None:
            return (self.class_weights.to(labels.device)[labels.where(labelled, 0)] * labelled).sum()
        return labelled.sum() if self.hardest is None else labels.new_tensor(self._kept(int(labelled.sum())))

    def sum(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The sum for `scores` `(N, K, h, w)` and `labels` `(N, h, w)`; 0 where every place is ignored."""
        weights = None if self.class_weights is None else self.class_weights.to(labels.device)
        if self.link == "sigmoid":
            losses = _sigmoid_cross_entropy(scores.float(), labels, weights)
        else:
            reduction = "sum" if self.hardest is None else "none"  # the loss of each place takes twice the time
            losses = functional.cross_entropy(
                scores.float(),
                labels,
                weights,
                ignore_index=IGNORE,
                reduction=reduction,
                label_smoothing=self.smoothing,
            )
        if self.hardest is not None:
            labelled = labels != IGNORE
            losses = losses[labelled].topk(self._kept(int(labelled.sum()))).values
        return losses.sum()

    def _kept(self, labelled: int) -> int:
        return labelled if self.hardest is None else math.ceil(self.hardest * labelled)


def _sigmoid_cross_entropy(scores: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """`(N, h, w)`, summed over the classes; 0 where ignored."""
    labelled = labels != IGNORE
    classes = labels.where(labelled, 0)
    there = functional.one_hot(classes, scores.shape[1]).movedim(-1, 1).to(scores.dtype)
    losses = functional.binary_cross_entropy_with_logits(scores, there, reduction="none").sum(1)
    return (losses if weights is None else losses * weights[classes]) * labelled
