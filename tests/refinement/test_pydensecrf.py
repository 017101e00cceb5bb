"""Against pydensecrf2, on generated pictures and on real ones: the same labels and the same beliefs."""

import numpy as np
import pydensecrf.densecrf as theirs
import pytest
from tests.refinement.brute_force import scene, softmax

from pixelwise.data.sample import read_image
from pixelwise.refinement.dense_crf import DenseCRF
from pixelwise.refinement.energies import Bilateral, Gaussian

NORMALISATIONS = {
    "none": theirs.NO_NORMALIZATION,
    "before": theirs.NORMALIZE_BEFORE,
    "after": theirs.NORMALIZE_AFTER,
    "symmetric": theirs.NORMALIZE_SYMMETRIC,
}


def their_beliefs(image, scores, smooth, bilateral, normalisation, iterations=10):
    """What pydensecrf makes of it, `(K, H, W)`; parameters are `(std, weight)` and `(position std, colour std, weight)`."""
    classes, height, width = scores.shape
    crf = theirs.DenseCRF2D(width, height, classes)
    crf.setUnaryEnergy(np.ascontiguousarray(-np.log(softmax(scores)).reshape(classes, -1), np.float32))
    kind = NORMALISATIONS[normalisation]
    crf.addPairwiseGaussian(sxy=smooth[0], compat=smooth[1], normalization=kind)
    crf.addPairwiseBilateral(
        sxy=bilateral[0], srgb=bilateral[1], rgbim=image.copy(), compat=bilateral[2], normalization=kind
    )
    return np.array(crf.inference(iterations)).reshape(scores.shape)


def hold_alike(image, scores, smooth, bilateral, normalisation):
    kernels = [Gaussian(*smooth), Bilateral(*bilateral)]
    ours = np.exp(DenseCRF(kernels, iterations=10, normalisation=normalisation)(image, scores))
    expected = their_beliefs(image, scores, smooth, bilateral, normalisation)
    assert (ours.argmax(axis=0) == expected.argmax(axis=0)).mean() >= 0.999
    assert np.abs(ours - expected).mean() <= 1e-3
    assert (expected.argmax(axis=0) != scores.argmax(axis=0)).mean() > 0.01  # the CRF did something


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("seed", range(5))
def test_on_a_generated_picture(seed, normalisation):
    image, scores = scene(90 + 7 * seed, 120 - 5 * seed, (2, 3, 5, 11, 21)[seed], seed, noise=3.0 * seed)
    weights = (0.05, 0.02) if normalisation == "none" else (3, 5)
    hold_alike(image, scores, (3, weights[0]), (40 + 10 * seed, 5 + 4 * seed, weights[1]), normalisation)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_on_a_real_picture(number, real_data):
    path = sorted((real_data / "voc2012_subset" / "JPEGImages").glob("*.jpg"))[number * 7]
    image = read_image(path)
    random = np.random.default_rng(number)
    height, width = image.shape[:2]
    blobs = random.normal(0, 3, (21, -(-height // 24), -(-width // 24))).repeat(24, 1).repeat(24, 2)[:, :height, :width]
    scores = (blobs + random.normal(0, 1, blobs.shape)).astype(np.float32)
    hold_alike(image, scores, (3, 3), (80, 13, 10), "symmetric")
