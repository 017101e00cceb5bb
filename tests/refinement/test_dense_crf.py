"""The dense CRF as people call it: any form of input gives the same, what does not fit is refused in one line."""

import numpy as np
import pytest
from tests.refinement.brute_force import Exact, kernel_matrix, normalised, scene

from pixelwise.refinement.dense_crf import DenseCRF
from pixelwise.refinement.energies import Bilateral, Features, Gaussian

IMAGE, SCORES = scene(20, 26, 3)
CRF = DenseCRF([Gaussian(2, 2.0), Bilateral(10, 20, 3.0)], iterations=3, half=False)
REFINED = CRF(IMAGE, SCORES)


def test_output_is_like_the_input():
    assert REFINED.shape == SCORES.shape
    assert REFINED.dtype == np.float32
    np.testing.assert_allclose(np.exp(REFINED).sum(axis=0), 1, atol=1e-5)
    assert (REFINED.argmax(axis=0) != SCORES.argmax(axis=0)).any()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_every_float_type_comes_back_as_it_is(kind):
    refined = CRF(IMAGE, SCORES.astype(kind))
    assert refined.dtype == kind
    np.testing.assert_allclose(np.exp(refined), np.exp(REFINED), atol=2e-2 if kind == np.float16 else 1e-6)


def test_whole_numbers_are_scores_too():
    assert CRF(IMAGE, SCORES.astype(np.int64)).dtype == np.float32


def layouts():
    channels_last = np.ascontiguousarray(SCORES.transpose(1, 2, 0)).transpose(2, 0, 1)
    wide = np.zeros((6, 40, 26), np.float32)
    wide[::2, ::2] = SCORES
    read_only = SCORES.copy()
    read_only.flags.writeable = False
    return {
        "channels last": channels_last,
        "fortran": np.asfortranarray(SCORES),
        "every other": wide[::2, ::2],
        "backwards": SCORES[::-1].copy()[::-1],
        "read only": read_only,
        "other byte order": SCORES.astype(">f4"),
    }


@pytest.mark.parametrize("layout", layouts())
def test_memory_layout_makes_no_difference(layout):
    given = layouts()[layout]
    before = given.copy()
    np.testing.assert_array_equal(CRF(IMAGE, given), REFINED)
    np.testing.assert_array_equal(given, before)


def test_images_may_lie_in_memory_and_be_numbers_of_any_kind():
    for image in (
        np.asfortranarray(IMAGE),
        IMAGE.astype(np.float64),
        IMAGE.astype(np.int16),
        IMAGE[:, ::-1].copy()[:, ::-1],
    ):
        np.testing.assert_array_equal(CRF(image, SCORES), REFINED)


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_any_number_of_channels(channels):
    image = np.repeat(IMAGE[..., :1], channels, axis=-1)
    crf = DenseCRF([Bilateral(10, 20, 3.0)], iterations=2, filters=Exact)
    equal = DenseCRF([Bilateral(10, 20 / np.sqrt(channels), 3.0)], iterations=2, filters=Exact)
    np.testing.assert_allclose(crf(image, SCORES), equal(IMAGE[..., :1], SCORES), atol=1e-3)


def test_a_std_for_each_axis_is_y_then_x():
    both = DenseCRF([Gaussian((2, 5), 2.0)], filters=Exact)(None, SCORES)
    turned = DenseCRF([Gaussian((5, 2), 2.0)], filters=Exact)(None, SCORES.transpose(0, 2, 1))
    np.testing.assert_allclose(both, turned.transpose(0, 2, 1), atol=1e-4)
    assert np.abs(both - DenseCRF([Gaussian((5, 2), 2.0)], filters=Exact)(None, SCORES)).max() > 0.1


def test_features_of_ones_own_are_what_kernels_make():
    y, x = np.mgrid[:20, :26] / 2.0
    own = DenseCRF([Features(np.stack([x, y], axis=-1), 2.0)])(IMAGE, SCORES)
    np.testing.assert_allclose(own, DenseCRF([Gaussian(2, 2.0)])(IMAGE, SCORES), atol=1e-5)


def test_a_kernel_may_have_a_normalisation_of_its_own():
    mixed = DenseCRF([Gaussian(2, 2.0, "after"), Bilateral(10, 20, 3.0, "before")], iterations=1, half=False)(
        IMAGE, SCORES
    )
    after = DenseCRF([Gaussian(2, 2.0)], iterations=1, half=False, normalisation="after")(IMAGE, SCORES)
    before = DenseCRF([Bilateral(10, 20, 3.0)], iterations=1, half=False, normalisation="before")(IMAGE, SCORES)
    # After one iteration messages of several kernels simply add up, but for each pixel's constant.
    summed = after.astype(float) + before - SCORES
    np.testing.assert_allclose(mixed - mixed.mean(axis=0), summed - summed.mean(axis=0), atol=1e-3)


def test_probabilities_are_their_logarithms():
    powers = np.exp(SCORES.astype(float))
    probabilities = powers / powers.sum(axis=0)
    np.testing.assert_allclose(CRF(IMAGE, probabilities=probabilities), REFINED, atol=1e-4)
    certain = (SCORES.max(axis=0) == SCORES).astype(np.float32)
    assert np.isfinite(CRF(IMAGE, probabilities=certain)).all()


def test_labels_are_beliefs_of_a_confidence():
    labels = SCORES.argmax(axis=0).astype(np.uint8)
    labels[3:6] = 255
    beliefs = np.where(labels == np.arange(3)[:, None, None], 0.8, 0.1)
    beliefs[:, 3:6] = 1 / 3
    expected = CRF(IMAGE, probabilities=beliefs)
    refined = CRF(IMAGE, labels=labels, classes=3, confidence=0.8, unsure=255)
    np.testing.assert_allclose(refined, expected, atol=1e-4)
    several = CRF(
        np.stack([IMAGE] * 2), labels=np.stack([labels] * 2), classes=3, confidence=0.8, unsure=255, batch=True
    )
    np.testing.assert_array_equal(several, np.stack([refined] * 2))


def test_a_batch_is_each_of_its_images():
    other = IMAGE[::-1].copy()
    refined = CRF(np.stack([IMAGE, other]), np.stack([SCORES, SCORES]))
    np.testing.assert_array_equal(refined, np.stack([REFINED, CRF(other, SCORES)]))


def test_a_volume_of_one_slice_is_that_slice():
    kernels = [Gaussian((1, 2, 2), 2.0), Bilateral((1, 10, 10), 20, 3.0)]
    volume = DenseCRF(kernels, iterations=3, filters=Exact)(IMAGE[None], SCORES[:, None])
    flat = DenseCRF(CRF.kernels, iterations=3, filters=Exact)(IMAGE, SCORES)
    np.testing.assert_allclose(volume[:, 0], flat, atol=1e-3)


def test_a_volume_turned_is_the_volume_turned():
    random = np.random.default_rng(0)
    image, scores = random.integers(0, 255, (4, 6, 7, 2)), random.normal(0, 1, (3, 4, 6, 7))
    crf = DenseCRF([Gaussian(1.5, 2.0), Bilateral(3, 60, 2.0)], filters=Exact)
    turned = crf(image.transpose(2, 0, 1, 3), scores.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(turned, crf(image, scores).transpose(0, 3, 1, 2), atol=1e-4)
    assert DenseCRF(crf.kernels)(image, scores).shape == scores.shape


def test_a_trace_begins_with_the_scores_and_ends_with_the_result():
    trace = CRF.trace(IMAGE, SCORES, energies=True)
    assert len(trace.scores) == len(trace.beliefs) == len(trace.energies) == len(trace.divergences) == 4
    np.testing.assert_allclose(trace.beliefs[0], np.exp(SCORES) / np.exp(SCORES).sum(axis=0), atol=1e-5)
    np.testing.assert_allclose(np.exp(trace.scores[-1]), np.exp(REFINED), atol=1e-5)
    for scores, beliefs in zip(trace.scores, trace.beliefs, strict=True):
        np.testing.assert_allclose(np.exp(scores), beliefs, atol=1e-5)


def test_energies_are_sums_over_pairs():
    """Of the labels, and their expectation under the beliefs less entropy; each pair once."""
    image, scores = scene(8, 9, 3)
    crf = DenseCRF([Gaussian(2, 2.0)], iterations=2, filters=Exact)
    trace = crf.trace(image, scores, energies=True)
    matrix = normalised(kernel_matrix(crf.kernels[0], image), "symmetric")
    unary = -trace.scores[0].reshape(3, -1).astype(float)
    for step, (energy, divergence) in enumerate(zip(trace.energies, trace.divergences, strict=True)):
        beliefs = trace.beliefs[step].reshape(3, -1).astype(float)
        labels = beliefs.argmax(axis=0)
        expected = sum(unary[label, i] for i, label in enumerate(labels))
        mean = float((beliefs * unary).sum() + (beliefs * np.log(beliefs)).sum())
        for i in range(72):
            for j in range(72):
                expected -= 0.5 * 2.0 * matrix[i, j] * (labels[i] == labels[j])
                mean -= 0.5 * 2.0 * matrix[i, j] * float(beliefs[:, i] @ beliefs[:, j])
        assert energy == pytest.approx(expected, rel=1e-4)
        assert divergence == pytest.approx(mean, rel=1e-4)
    assert trace.divergences[2] < trace.divergences[1] < trace.divergences[0]


NAN = SCORES.copy()
NAN[1, 2, 3] = np.nan


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: CRF(IMAGE, SCORES[0]), ["scores", "(20, 26)", "(K, H, W)"]),
        (lambda: CRF(IMAGE[:-1], SCORES), ["image", "(19, 26, 3)", "(20, 26"]),
        (lambda: CRF(IMAGE.transpose(2, 0, 1), SCORES), ["image", "(3, 20, 26)", "channels last"]),
        (lambda: CRF(IMAGE, NAN), ["scores", "NaN", "(1, 2, 3)"]),
        (lambda: CRF(IMAGE, np.where(np.isnan(NAN), np.inf, NAN)), ["scores", "infinite", "(1, 2, 3)"]),
        (lambda: CRF(np.full(IMAGE.shape, np.nan), SCORES), ["image", "NaN"]),
        (lambda: CRF(IMAGE, SCORES[:0]), ["scores", "empty", "(0, 20, 26)"]),
        (lambda: CRF(IMAGE[:0], SCORES[:, :0]), ["empty"]),
        (lambda: CRF(IMAGE), ["scores, probabilities and labels"]),
        (lambda: CRF(IMAGE, SCORES, probabilities=SCORES), ["scores and probabilities"]),
        (lambda: CRF(IMAGE, probabilities=SCORES), ["probabilities", "0..1"]),
        (lambda: CRF(IMAGE, labels=SCORES.argmax(axis=0)), ["classes="]),
        (lambda: CRF(IMAGE, labels=SCORES.argmax(axis=0), classes=2), ["labels are 0..1", "2"]),
        (lambda: CRF(IMAGE, labels=SCORES.argmax(axis=0), classes=3, confidence=1.0), ["confidence", "1.0"]),
        (lambda: CRF(IMAGE, labels=SCORES[0], classes=3), ["labels are whole numbers"]),
        (lambda: CRF(IMAGE, np.array([["a"]])), ["scores", "numbers"]),
        (lambda: CRF(None, SCORES), ["Bilateral", "no image"]),
        (lambda: CRF(None, SCORES[None]), ["batch"]),
        (lambda: CRF(IMAGE[None].repeat(3, 0)[:, :3], np.zeros((3, 3, 3, 26))), ["batch=True or False"]),
        (lambda: DenseCRF([]), ["at least one kernel"]),
        (lambda: DenseCRF([Gaussian(3)], iterations=-1), ["iterations", "-1"]),
        (lambda: DenseCRF([Gaussian(3)], tolerance=-0.1), ["tolerance", "-0.1"]),
        (lambda: DenseCRF([Gaussian(3)], threads=0), ["threads", "at least 1", "0"]),
        (lambda: DenseCRF([Gaussian(3)], normalisation="row"), ["normalisation", "row", "symmetric"]),
        (lambda: Gaussian(-3), ["std", "-3"]),
        (lambda: Gaussian(0), ["std", "above 0"]),
        (lambda: Gaussian(float("nan")), ["std", "nan"]),
        (lambda: Bilateral(80, -13), ["colour_std", "-13"]),
        (lambda: Bilateral((80, 0), 13), ["position_std"]),
        (lambda: Gaussian(3, weight=float("inf")), ["weight", "finite"]),
        (lambda: Gaussian(3, weight="much"), ["weight", "much"]),
        (lambda: DenseCRF([Gaussian((1, 2, 3))])(IMAGE, SCORES), ["std", "3 values", "expected 2"]),
        (lambda: DenseCRF([Bilateral(3, (1, 2))])(IMAGE, SCORES), ["colour_std", "2 values", "expected 3"]),
        (lambda: DenseCRF([Gaussian(3, weight=np.ones(4))])(IMAGE, SCORES), ["weight", "(4,)", "3 classes"]),
        (lambda: DenseCRF([Features(np.zeros((4, 5, 2)))])(IMAGE, SCORES), ["Features", "(4, 5, 2)"]),
        (lambda: Features(np.full((4, 5, 2), np.nan)), ["Features", "NaN"]),
        (lambda: DenseCRF([Bilateral(1e-6, 13)])(IMAGE, SCORES), ["standard deviations"]),
    ],
)
def test_what_does_not_fit_is_refused(call, parts, refuses):
    with refuses(*parts):
        call()
