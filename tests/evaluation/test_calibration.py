"""Confidence against accuracy: a loop over pixels, torchmetrics, and cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchmetrics.classification import MulticlassCalibrationError

from pixelwise.evaluation.calibration import BINS, UNIT, Calibration, count_calibration
from pixelwise.labels import IGNORE


def case(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    scores = generator.normal(scale=generator.uniform(0.1, 5), size=(4, 7, 9)).astype(np.float32)
    return generator.choice([0, 1, 2, 3, IGNORE], (7, 9)).astype(np.uint8), scores


@given(st.integers(0, 2**32))
def test_counts_equal_a_loop(seed: int) -> None:
    truth, scores = case(seed)
    expected = np.zeros((BINS, 3))
    for y, x in np.ndindex(truth.shape):
        if truth[y, x] != IGNORE:
            powers = [math.exp(score) for score in scores[:, y, x].tolist()]
            confidence = max(powers) / sum(powers)
            place = min(BINS - 1, math.ceil(confidence * BINS) - 1)
            expected[place] += 1, powers.index(max(powers)) == truth[y, x], confidence
    counts = count_calibration(truth, scores)
    assert np.array_equal(counts[:, :2], expected[:, :2])
    np.testing.assert_allclose(counts[:, 2] / UNIT, expected[:, 2], atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_the_error_equals_that_of_torchmetrics(seed: int) -> None:
    truth, scores = case(seed)
    metric = MulticlassCalibrationError(4, n_bins=BINS, norm="l1", ignore_index=IGNORE)
    expected = metric(torch.from_numpy(scores)[None], torch.from_numpy(truth.astype(np.int64))[None])
    assert Calibration.of(count_calibration(truth, scores)).ece == pytest.approx(expected.item(), abs=1e-5)


def test_images_add_up_exactly() -> None:
    truth, scores = case(0)
    halves = count_calibration(truth[:3], scores[:, :3]) + count_calibration(truth[3:], scores[:, 3:])
    assert np.array_equal(halves, count_calibration(truth, scores))


def test_calibration_by_hand() -> None:
    # Ten pixels of confidence 3/4, seven of them right; all else is empty.
    scores = np.zeros((2, 1, 10), np.float32)
    scores[1] = math.log(3)
    truth = np.array([[1] * 7 + [0] * 3], np.uint8)
    found = Calibration.of(count_calibration(truth, scores))
    (place,) = np.flatnonzero(found.share)
    assert found.edges[place] < 0.75 <= found.edges[place + 1]
    assert found.share[place] == 1
    assert found.confidence[place] == pytest.approx(0.75)
    assert found.accuracy[place] == pytest.approx(0.7)
    assert found.ece == pytest.approx(0.05)
    assert np.isnan(np.delete(found.accuracy, place)).all()


def test_certainty_falls_into_the_last_bin_and_one_class_is_certain() -> None:
    sure = np.stack([np.full((2, 2), 1000, np.float32), np.zeros((2, 2), np.float32)])
    assert count_calibration(np.zeros((2, 2), np.uint8), sure)[-1].tolist() == [4, 4, 4 * UNIT]
    assert count_calibration(np.zeros((2, 2), np.uint8), sure[:1])[-1].tolist() == [4, 4, 4 * UNIT]


def test_where_everything_is_ignored_nothing_is_measured() -> None:
    counts = count_calibration(np.full((2, 2), IGNORE, np.uint8), np.zeros((3, 2, 2), np.float32))
    assert not counts.any()
    assert math.isnan(Calibration.of(counts).ece)
