"""Images with scores and a judge of answers in, the CRF parameters that suit them best out.

What a good answer is, the caller says: `count` and `rate` are handed in, so that nothing here knows labels or metrics.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError
from pixelwise.refinement.dense_crf import DenseCRF
from pixelwise.refinement.presets import FIVE, Preset

COARSE = {
    "bilateral_weight": (3.0, 6.0),  # 5..10 in DeepLab (ICLR 2015), section 5.1; 3..6 in v2, section 4.1
    "bilateral_position_std": (40.0, 80.0),  # 50..100 in DeepLab (ICLR 2015), section 5.1; 30..100 in v2
    "bilateral_colour_std": (3.0, 5.0, 10.0),  # 3..10 in DeepLab (ICLR 2015), section 5.1; 3..6 in v2
}
"""Where the search begins: every combination of these, with the Gaussian kernel as it is in the first preset."""

RATIOS = (1.6, 1.25, 1.1)
"""Then each of the five parameters is multiplied and divided by these, one ratio after the other, coarse to fine."""

Scored = tuple[NDArray, NDArray[np.float32]]
"""An image `(H, W, C)` and its scores `(K, H, W)`."""

Progress = Callable[[int, int, str], None]
"""Told the images done in a round, all images of the round, and what is being done."""


@dataclass(frozen=True)
class Trial:
    """One setting, or None for no CRF at all, with its score on all images."""

    preset: Preset | None
    score: float


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    best      the setting of the highest score
    trials    everything that was tried, best first; no CRF at all is among it
    plain     the score without a CRF
    crossed   the score by cross-validation: every image is refined by the setting that is best on the images of the
              other folds. What `best` scores beyond it is the profit of having chosen by the same images. The settings
              themselves were searched for on all images, so it is not a test either
    """

    best: Trial
    trials: tuple[Trial, ...]
    plain: float
    crossed: float


def tune(
    scored: Callable[[int], Scored],
    images: int,
    count: Callable[[int, NDArray[np.float32]], NDArray],
    rate: Callable[[NDArray], float],
    *,
    start: Preset,
    folds: int = 5,
    progress: Progress = lambda done, of, said: None,
) -> Tuned:
    """Search the five parameters of a CRF, coarse to fine, on a few labelled images.

    scored    image i with its scores; asked for once a round, so that no more than one is held
    images    how many there are, at least 2
    count     counts of image i with these scores, such as its confusion matrix; counts of several images add up
    rate      the score of counts, larger is better; NaN is worse than anything
    start     says the Gaussian kernel to begin with, the normalisation and the iterations
    folds     of the cross-validation, at least 2; no more than there are images are made

    Raises `InputError` for too few images or folds.

    Source: the coarse-to-fine search of DeepLab (ICLR 2015), section 5.1, on 100 images; the steps are ours.
    """
    if images < 2:
        raise InputError(f"expected at least 2 images to tune on, got {images}")
    if folds < 2:
        raise InputError(f"expected at least 2 folds, got {folds}")
    search = _Search(scored, images, count, rate, progress)
    search.try_out([None, _changed(start, {}), *_coarse(start)], "coarse grid")
    for ratio in RATIOS:
        centre = search.best()
        search.try_out(_around(centre, ratio), f"steps of {ratio:g}")
        search.try_out([search.combined(centre, ratio)], f"steps of {ratio:g} together")
    trials = sorted((Trial(setting, search.score(setting)) for setting in search.counts), key=lambda one: -one.score)
    best = search.best()
    return Tuned(Trial(best, search.score(best)), tuple(trials), search.score(None), search.crossed(folds))


class _Search:
    """Settings with the counts of every image: whatever is asked of them later costs nothing."""

    def __init__(
        self,
        scored: Callable[[int], Scored],
        images: int,
        count: Callable[[int, NDArray[np.float32]], NDArray],
        rate: Callable[[NDArray], float],
        progress: Progress,
    ) -> None:
        self.counts: dict[Preset | None, list[NDArray]] = {}
        self._scored, self._images, self._count, self._rate, self._progress = scored, images, count, rate, progress

    def try_out(self, settings: Sequence[Preset | None], said: str) -> None:
        """Count every image with every setting that is new."""
        new: dict[Preset | None, list[NDArray]] = {setting: [] for setting in settings if setting not in self.counts}
        for index in range(self._images if new else 0):
            image, scores = self._scored(index)
            for setting, counts in new.items():
                refined = scores if setting is None else DenseCRF.preset(setting)(image, scores)
                counts.append(self._count(index, refined))
            self._progress(index + 1, self._images, f"{said}, {len(new)} settings")
        self.counts |= new

    def score(self, setting: Preset | None, images: Iterable[int] | None = None) -> float:
        """Of some images, or all."""
        counts = self.counts[setting]
        value = self._rate(np.sum([counts[index] for index in images] if images is not None else counts, axis=0))
        return -np.inf if np.isnan(value) else value

    def best(self, images: Sequence[int] | None = None) -> Preset:
        """The setting of the highest score, the first of several."""
        settings = [setting for setting in self.counts if setting is not None]
        return max(settings, key=lambda setting: self.score(setting, images))

    def combined(self, centre: Preset, ratio: float) -> Preset:
        """Every parameter by itself as is best for it: less by `ratio`, as it is, or more."""
        values = {}
        for name in FIVE:
            best = max((centre, *_sides(centre, name, ratio)), key=self.score)
            values[name] = getattr(best, name)
        return _changed(centre, values)

    def crossed(self, folds: int) -> float:
        """The score of all images, each with the setting that is best on the other folds."""
        folds = min(folds, self._images)
        everything: list[NDArray] = []
        for fold in range(folds):
            setting = self.best([index for index in range(self._images) if index % folds != fold])
            everything += self.counts[setting][fold::folds]
        return self._rate(np.sum(everything, axis=0))


def _coarse(start: Preset) -> list[Preset]:
    return [_changed(start, dict(zip(COARSE, values, strict=True))) for values in itertools.product(*COARSE.values())]


def _around(centre: Preset, ratio: float) -> list[Preset]:
    return [setting for name in FIVE for setting in _sides(centre, name, ratio)]


def _sides(centre: Preset, name: str, ratio: float) -> list[Preset]:
    """One parameter more, and less, by `ratio`; three digits are plenty."""
    return [_changed(centre, {name: float(f"{getattr(centre, name) * factor:.3g}")}) for factor in (ratio, 1 / ratio)]


def _changed(preset: Preset, values: dict[str, Any]) -> Preset:
    return dataclasses.replace(preset, source="", **values)
