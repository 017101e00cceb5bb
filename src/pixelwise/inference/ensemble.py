"""Several predictors as one: an image goes in, each of them scores it, their scores combined come out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError, unknown_name
from pixelwise.inference.contracts import Predictor

PROBABILITY_FLOOR = 1e-20
"""The least probability whose logarithm is given back: no score is minus infinity."""

RULES = ("mean", "product")


class Ensemble:
    """Predictors that know the same classes, as one predictor.

    rule  "mean": of their probabilities, given back as logarithms. "product": of their scores, each clipped below at 0,
          given back as it is; where one predictor has nothing above 0 it leaves all classes at 0.

    Raises `InputError` for no predictor, an unknown rule, and predictors whose scores differ in shape.

    Sources: the mean is that of DeconvNet (Noh et al., ICCV 2015), section 5.2, and our reading of the ensembles of GDN
    (Nekrasov et al., BMVC 2016), section 4.3, which states no rule; the product is that of DeconvNet's released
    `generate_EDeconvNet_CRF_results.m`.
    """

    def __init__(self, predictors: Sequence[Predictor], rule: str = "mean") -> None:
        if not predictors:
            raise InputError("an ensemble needs at least 1 predictor, got none")
        if rule not in RULES:
            raise unknown_name("rule of an ensemble", rule, RULES)
        self.predictors = tuple(predictors)
        self.rule = rule

    def __call__(self, image: NDArray) -> NDArray[np.float32]:
        """The combined scores `(K, H, W)` of an image `(H, W, C)`."""
        maps = [predictor(image) for predictor in self.predictors]
        if len(shapes := {scores.shape for scores in maps}) > 1:
            raise InputError(
                f"an ensemble needs predictors of the same classes, got scores {' and '.join(map(str, sorted(shapes)))}: "
                f"leave out the one that differs"
            )
        return log_mean_probability(maps) if self.rule == "mean" else clipped_product(maps)


def log_mean_probability(maps: Sequence[NDArray]) -> NDArray[np.float32]:
    """Logits `(K, H, W)`, one map or more -> the logarithm of the mean of their softmax, at least that of the floor.

    Computed in float64, so that one map alone keeps its order of classes.
    """
    mean = np.zeros(maps[0].shape)
    for scores in maps:
        powers = np.exp(np.subtract(scores, scores.max(0), dtype=np.float64))
        mean += powers / powers.sum(0) / len(maps)
    return np.log(np.maximum(mean, PROBABILITY_FLOOR)).astype(np.float32)


def clipped_product(maps: Sequence[NDArray]) -> NDArray[np.float32]:
    """Scores `(K, H, W)`, one map or more -> the product of what is above 0 in them, 0 where one has nothing."""
    product = np.ones(maps[0].shape, np.float32)
    for scores in maps:
        product *= np.maximum(scores, 0)
    return product
