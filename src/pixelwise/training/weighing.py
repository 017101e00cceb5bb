"""How much a pixel of each class weighs, from how often the class occurs; the weights average 1 over the classes that do."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from pixelwise.data.check import ClassShare


def median_frequency(classes: Sequence[ClassShare]) -> list[float]:
    """The median frequency over a class's own, where a frequency is a class's share of the images that it is in.

    A class that never occurs weighs 0. Source: Eigen & Fergus (ICCV 2015), section 6.2.
    """
    present = {share.name: share.where_present for share in classes if share.images}
    median = statistics.median(present.values()) if present else 1.0
    return _mean_one([median / present[share.name] if share.name in present else 0.0 for share in classes])


def effective_number(classes: Sequence[ClassShare], beta: float = 0.99) -> list[float]:
    """The inverse of the effective number of samples, (1 - beta^n) / (1 - beta), with n the images a class is in.

    Images are counted rather than pixels, for neighbouring pixels tell the same. A class that never occurs weighs 0.
    Source: Cui et al., Class-Balanced Loss (CVPR 2019), section 3.
    """
    return _mean_one([(1 - beta) / (1 - beta**share.images) if share.images else 0.0 for share in classes])


def _mean_one(weights: list[float]) -> list[float]:
    present = [weight for weight in weights if weight]
    mean = statistics.fmean(present) if present else 1.0
    return [weight / mean for weight in weights]
