"""The search for parameters: it finds an optimum that is known, crosses as worked out by hand, and helps on noisy scores."""

import dataclasses
import math

import numpy as np
import pytest

from pixelwise.data.shapes import Shapes
from pixelwise.evaluation.confusion import ConfusionMatrix, Measures
from pixelwise.refinement import tune as tuning
from pixelwise.refinement.presets import FIVE, PRESETS, Preset
from pixelwise.refinement.tune import COARSE, tune

START = PRESETS["deeplab_v1"]


class Pretended:
    """A CRF whose refined scores are its own parameters, so that a judge can say anything of them."""

    def __init__(self, preset: Preset) -> None:
        self.numbers = np.array([getattr(preset, name) for name in FIVE])

    @classmethod
    def preset(cls, preset):
        return cls(preset)

    def __call__(self, image, scores):
        return self.numbers


@pytest.fixture
def pretended(monkeypatch):
    """Searches run without a CRF."""
    monkeypatch.setattr(tuning, "DenseCRF", Pretended)


def nothing(index):
    return np.zeros((1, 1, 3)), np.zeros(5)


OPTIMUM = {"gaussian_weight": 4.0, "gaussian_std": 2.0, "bilateral_weight": 7.0, "bilateral_position_std": 80.0,
           "bilateral_colour_std": 4.0}  # fmt: skip


def test_comes_near_a_known_optimum(pretended):
    best = np.array([OPTIMUM[name] for name in FIVE])

    def count(index, numbers):
        return np.zeros(1) - 9.0 if not numbers.any() else -(np.log(numbers / best) ** 2).sum(keepdims=True)

    told = []
    tuned = tune(
        nothing, 3, count, lambda counts: float(counts[0]), start=START, progress=lambda *what: told.append(what)
    )
    found = np.array([getattr(tuned.best.preset, name) for name in FIVE])
    assert np.abs(np.log(found / best)).max() < math.log(1.3)
    assert (tuned.best.preset.normalisation, tuned.best.preset.iterations) == (START.normalisation, START.iterations)
    assert tuned.plain == -27
    assert [trial.score for trial in tuned.trials] == sorted((trial.score for trial in tuned.trials), reverse=True)
    assert {trial.preset for trial in tuned.trials} >= {None, dataclasses.replace(START, source="")}
    grid = math.prod(map(len, COARSE.values()))
    assert told[:3] == [(done, 3, f"coarse grid, {grid + 2} settings") for done in (1, 2, 3)]
    assert told[-1][2].startswith("steps of 1.1")


def test_crosses_as_by_hand(pretended):
    """Image 0 likes weight 3, the others 6. Of two folds, {0, 2} and {1, 3}: images 1 and 3 alone choose 6 for 0 and 2;
    images 0 and 2 are of two minds (100 against 2), so 1 and 3 get the 3 that 0 wants."""

    def count(index, numbers):
        weight = numbers[FIVE.index("bilateral_weight")]
        likes = {0: 3.0}.get(index, 6.0)
        return np.array([{0: 100.0, 1: 2.0, 2: 2.0, 3: 2.0}[index] * (weight == likes)])

    tuned = tune(nothing, 4, count, lambda counts: float(counts[0]), start=START, folds=2)
    assert tuned.best.preset.bilateral_weight == 3
    assert tuned.best.score == 100
    assert tuned.crossed == 0 + 0 + 2 + 0  # image 0 with 6, 1 with 3, 2 with 6, 3 with 3
    assert tuned.plain == 0


def test_a_score_that_is_no_number_is_the_worst(pretended):
    tuned = tune(nothing, 2, lambda index, numbers: numbers[:1], lambda counts: math.nan, start=START)
    assert tuned.plain == tuned.best.score == -math.inf


def test_noisy_scores_get_better():
    data = Shapes(count=2, size=(32, 40))
    random = np.random.default_rng(0)
    scores = [
        (1.5 * (data[i].labels["main"] == np.arange(6)[:, None, None]) + random.normal(size=(6, 32, 40))).astype(
            np.float32
        )
        for i in range(2)
    ]

    def count(index, refined):
        matrix = ConfusionMatrix(6)
        matrix.add(data[index].labels["main"], refined.argmax(0))
        return matrix.counts

    def scored(index):
        return data[index].image, scores[index]

    start = dataclasses.replace(START, iterations=3)
    tuned = tune(scored, 2, count, lambda counts: Measures.of(counts).mean_iou, start=start)
    assert tuned.best.score >= tuned.crossed > tuned.plain + 0.1


@pytest.mark.parametrize(
    ("images", "folds", "said"), [(1, 5, "at least 2 images to tune on, got 1"), (9, 1, "at least 2 folds, got 1")]
)
def test_too_few(images, folds, said, refuses):
    with refuses(said):
        tune(nothing, images, lambda *_: np.zeros(1), float, start=START, folds=folds)
