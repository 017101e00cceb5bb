"""Evaluations in, intervals out: how far a number would move had other images been drawn, and so would a difference.

Images are drawn with replacement, as many as there are, and the measure is computed from the drawn images' sums as it is
from the set's. Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13: percentile intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError, unknown_name
from pixelwise.evaluation.confusion import means_of
from pixelwise.evaluation.evaluation import Evaluation

DRAWS = 1000
LEVEL = 0.95
BLOCK = 100
"""So many draws are held in memory at a time."""

MEASURES = ("mean_iou", "mean_accuracy", "pixel_accuracy", "frequency_weighted_iou")


@dataclass(frozen=True)
class Interval:
    """A number on the whole set, and where the middle `level` of the draws lie; NaN bounds where one image says nothing.

    The interval speaks of the choice of images only: not of training again, nor of the labels.
    """

    value: float
    low: float
    high: float
    level: float = LEVEL


def interval(
    evaluation: Evaluation,
    measure: str = "mean_iou",
    *,
    classes: Sequence[str] | None = None,
    absent: str = "present",
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """The interval of one of the four `MEASURES` over images; `classes` and `absent` as in `Evaluation.measures`.

    The same seed gives the same interval. Raises `InputError` for an unknown measure.
    """
    return _interval(*_drawn(evaluation, measure, classes, absent, draws, seed), level)


def difference(
    first: Evaluation,
    second: Evaluation,
    measure: str = "mean_iou",
    *,
    classes: Sequence[str] | None = None,
    absent: str = "present",
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """The interval of `second` minus `first`, where both get the same images in every draw.

    Images that are hard for both cancel out, so it is narrower than two intervals side by side suggest. Raises
    `InputError` if the two were not counted on the same images and classes.
    """
    if first.classes != second.classes:
        raise InputError(
            f"models are compared over the same classes, got {', '.join(first.classes)} and "
            f"{', '.join(second.classes)}: evaluate both on the classes they share"
        )
    if odd := set(first.images) ^ set(second.images):
        raise InputError(
            f"models are compared on the same images, but only one has '{min(odd)}': evaluate both on one split"
        )
    before, drawn_before = _drawn(first, measure, classes, absent, draws, seed)
    after, drawn_after = _drawn(second.in_order(first.images), measure, classes, absent, draws, seed)
    return _interval(after - before, drawn_after - drawn_before, level)


def _drawn(
    evaluation: Evaluation,
    measure: str,
    classes: Sequence[str] | None,
    absent: str,
    draws: int,
    seed: int,
) -> tuple[float, NDArray[np.float64]]:
    """The measure on the set, and on each draw `(draws,)`."""
    if measure not in MEASURES:
        raise unknown_name("measure", measure, MEASURES)
    chosen = np.isin(np.arange(len(evaluation.classes)), evaluation.positions(classes))
    value = float(means_of(evaluation.tallies.sum(0), chosen, absent)[measure])
    blocks = [means_of(sums, chosen, absent)[measure] for sums in _sums(evaluation.tallies, draws, seed)]
    return value, np.concatenate([np.empty(0), *blocks])


def _sums(tallies: NDArray[np.int64], draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Tallies `(n, 3, K)` of `draws` draws in blocks; how often an image is drawn follows from seed and N alone."""
    images = len(tallies)
    if images < 2:  # every draw would be the same one
        return
    generator = np.random.default_rng(seed)
    flat = tallies.reshape(images, -1).astype(np.float64)  # products of whole numbers below 2^53: exact
    for begin in range(0, draws, BLOCK):
        times = generator.multinomial(images, np.full(images, 1 / images), size=min(BLOCK, draws - begin))
        yield (times @ flat).reshape(-1, *tallies.shape[1:])


def _interval(value: float, drawn: NDArray[np.float64], level: float) -> Interval:
    known = drawn[~np.isnan(drawn)]  # a draw may hold no labelled pixel
    if len(known) == 0:
        return Interval(value, float("nan"), float("nan"), level)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)
