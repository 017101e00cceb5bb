"""The dense CRF on tensors: equal to the one on arrays, gradients against differences, and a layer that learns."""

import numpy as np
import pytest
import torch
from tests.refinement.slow_lattice import slow_filter

import pixelwise as pw
from pixelwise.data.shapes import Shapes
from pixelwise.refinement.energies import Bilateral, Features, Gaussian
from pixelwise.refinement.mean_field import NORMALISATIONS
from pixelwise.refinement.torch_field import TorchField
from pixelwise.refinement.trainable import TrainableCRF

K = 4
SMALL = (6, 8)
PHOTO = Shapes(count=1, size=(40, 56))[0].image


def noisy(classes: int, size: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Scores of blobs of classes with noise, float32."""
    random = np.random.default_rng(seed)
    blocks = np.add.outer(np.arange(size[-2]) // 6, np.arange(size[-1]) // 6) % classes
    truth = np.broadcast_to(blocks, size)
    return (
        2 * (truth == np.arange(classes).reshape(-1, *[1] * len(size))) + random.normal(size=(classes, *size))
    ).astype(np.float32)


def in_torch(scores: np.ndarray) -> torch.Tensor:
    """Asking for gradients leads onto the path of tensors, on the CPU too."""
    return torch.from_numpy(scores).requires_grad_()


def same(crf: pw.DenseCRF, image, scores: np.ndarray) -> None:
    array, tensor = crf(image, scores), crf(image, in_torch(scores))
    np.testing.assert_allclose(tensor.detach().exp().numpy(), np.exp(array), atol=2e-5)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("self_message", [True, False])
def test_tensors_and_arrays_give_the_same(normalisation, self_message):
    scale = 0.03 if normalisation == "none" else 1
    kernels = [Gaussian(3, weight=3 * scale), Bilateral(80, 13, weight=10 * scale)]
    crf = pw.DenseCRF(kernels, normalisation=normalisation, self_message=self_message, half=False)
    same(crf, PHOTO, noisy(K, (40, 56)))


@pytest.mark.parametrize(
    "weight", [2.0, np.array([1.0, 2, 0, 3]), np.array([[2, -1, 0, 0], [0, 3, 0, 1], [0, 0, 1, 0], [0.5, 0, 0, 2]])]
)
def test_of_every_compatibility(weight):
    kernels = [Gaussian((2, 4), weight=weight, normalisation="after"), Bilateral(20, (5, 8, 10), weight=weight)]
    same(pw.DenseCRF(kernels, half=False), PHOTO, noisy(K, (40, 56)))


def test_of_volumes_and_features_of_ones_own():
    random = np.random.default_rng(0)
    volume = random.uniform(0, 255, (5, 12, 12, 2)).astype(np.float32)
    own = random.normal(size=(5, 12, 12, 3)).astype(np.float32)
    crf = pw.DenseCRF(
        [Gaussian((1, 3, 3), weight=2), Bilateral((2, 5, 5), 40, weight=3), Features(own, weight=1)], half=False
    )
    same(crf, volume, noisy(3, (5, 12, 12)))


def test_of_an_early_stop():
    scores = noisy(K, (40, 56))
    loose = pw.DenseCRF([Gaussian(3, weight=3)], iterations=10, tolerance=0.2, half=False)
    same(loose, PHOTO, scores)
    exact = pw.DenseCRF([Gaussian(3, weight=3)], iterations=10)
    assert not np.allclose(np.exp(exact(PHOTO, scores)), np.exp(loose(PHOTO, scores)), atol=1e-3)


def test_a_batch_is_its_images_one_by_one():
    crf = pw.DenseCRF.preset("deeplab_v1")
    images = np.stack([PHOTO, PHOTO[::-1]])
    scores = np.stack([noisy(K, (40, 56), seed) for seed in (0, 1)])
    together = crf(images, in_torch(scores))
    for image, own, refined in zip(images, scores, together, strict=True):
        torch.testing.assert_close(crf(np.ascontiguousarray(image), in_torch(own)), refined)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_types_are_kept(dtype):
    scores = torch.from_numpy(noisy(K, (40, 56))).to(dtype).requires_grad_()
    refined = pw.DenseCRF.preset("deeplab_v1")(torch.from_numpy(PHOTO), scores)
    assert refined.dtype == dtype
    refined.exp()[0].sum().backward()
    assert scores.grad.dtype == dtype


def test_probabilities_are_taken_as_their_logarithms():
    crf, scores = pw.DenseCRF.preset("pydensecrf"), in_torch(noisy(K, (40, 56)))
    by_scores = crf(PHOTO, scores)
    by_probabilities = crf(PHOTO, probabilities=scores.softmax(0))
    torch.testing.assert_close(by_probabilities, by_scores, atol=1e-4, rtol=0)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_gradients_equal_differences(normalisation):
    """Through scores, numbers, weights of classes and compatibilities, over three iterations."""
    random = torch.Generator().manual_seed(0)
    image = torch.rand(*SMALL, 3, generator=random) * 255
    scores = torch.rand(3, *SMALL, dtype=torch.float64, generator=random, requires_grad=True)
    weights = [
        torch.tensor(0.3, dtype=torch.float64, requires_grad=True),
        torch.tensor([0.2, 0.1, 0.4], dtype=torch.float64, requires_grad=True),
        torch.rand(3, 3, dtype=torch.float64, generator=random, requires_grad=True),
    ]
    field = TorchField((Gaussian(2), Bilateral(5, 60), Gaussian(4)), 3, normalisation, False, None)

    def refined(scores, *weights):
        return field.refine(image, scores, weights)

    assert torch.autograd.gradcheck(refined, (scores, *weights), fast_mode=True)


def test_no_gradient_is_asked_for_and_none_given():
    scores = torch.from_numpy(noisy(K, (40, 56)))
    refined = pw.DenseCRF.preset("deeplab_v1")(PHOTO, scores)
    assert isinstance(refined, torch.Tensor)
    assert not refined.requires_grad


def test_the_filter_is_that_of_the_slow_lattice():
    crf = pw.DenseCRF([Gaussian(2.3, weight=1.7, normalisation="after")], iterations=1)
    scores = noisy(3, SMALL)
    rows, columns = np.mgrid[: SMALL[0], : SMALL[1]]
    features = np.stack([columns, rows], -1).reshape(-1, 2).astype(np.float32) / np.float32(2.3)
    beliefs = np.exp(scores.reshape(3, -1).T)
    beliefs /= beliefs.sum(1, keepdims=True)
    message = slow_filter(features, beliefs) / slow_filter(features, np.ones((len(features), 1)))
    expected = scores + 1.7 * message.T.reshape(scores.shape)
    expected -= np.log(np.exp(expected).sum(0))
    np.testing.assert_allclose(crf(PHOTO[: SMALL[0], : SMALL[1]], in_torch(scores)).detach(), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("image", "scores", "said"),
    [
        (PHOTO, torch.zeros(3, 40, 50), ("image has shape (40, 56, 3)", "expected (40, 50, 'C')")),
        (PHOTO, torch.full((3, 40, 56), torch.nan), ("scores has NaN or infinite values, the first at (0, 0, 0)",)),
        (PHOTO, torch.zeros(0, 40, 56), ("scores is empty, with shape (0, 40, 56)",)),
        (torch.full((40, 56, 3), torch.inf), torch.zeros(3, 40, 56), ("image has NaN or infinite values",)),
        (torch.zeros(40, 56, 0), torch.zeros(3, 40, 56), ("image is empty",)),
        (None, torch.zeros(3, 40, 56), ("a Bilateral kernel compares colours, got no image",)),
        (None, torch.zeros(2, 3, 40, 56), ("may be a batch or a volume",)),
    ],
)
def test_what_does_not_fit_is_refused(image, scores, said, refuses):
    with refuses(*said):
        pw.DenseCRF.preset("deeplab_v1")(image, scores.requires_grad_())


def test_more_is_refused(refuses):
    scores = in_torch(noisy(K, (40, 56)))
    with refuses("probabilities lie in 0..1"):
        pw.DenseCRF.preset("deeplab_v1")(PHOTO, probabilities=scores)
    with refuses("weight has shape (3,)", "for 4 classes"):
        pw.DenseCRF([Gaussian(3, weight=[1, 2, 3])])(PHOTO, scores)
    with refuses("colour_std of Bilateral has 2 values, expected 3"):
        pw.DenseCRF([Bilateral(3, (1, 2))])(PHOTO, scores)
    with refuses("filters of your own work on arrays"):
        pw.DenseCRF([Gaussian(3)], filters=lambda features: None)(PHOTO, scores)


def test_a_layer_learns_how_much_to_smooth():
    """Blobs in strong noise are best smoothed: from hardly any weight on, learning raises it and the loss falls."""
    scores = torch.from_numpy(noisy(K, (40, 56)))[None]
    truth = torch.from_numpy(np.add.outer(np.arange(40) // 6, np.arange(56) // 6) % K)[None]
    layer = TrainableCRF(pw.DenseCRF([Gaussian(1.5, weight=0.1)], iterations=3, half=False))
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.3)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.nll_loss(layer(None, scores), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert layer.weights[0].item() > 1
    array = layer.trained()(PHOTO, scores[0].numpy())
    np.testing.assert_allclose(np.exp(array), layer(None, scores)[0].detach().exp().numpy(), atol=2e-5)


def test_a_layer_has_no_filters_of_its_own(refuses):
    with refuses("this CRF has filters of its own"):
        TrainableCRF(pw.DenseCRF([Gaussian(3)], filters=lambda features: None))


def test_a_layer_keeps_its_weights_in_its_state():
    matrix = np.eye(K, dtype=np.float32)
    layer = TrainableCRF(pw.DenseCRF([Gaussian(3, weight=2), Gaussian(5, weight=matrix)]))
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {
        "weights.0": (),
        "weights.1": (K, K),
    }
    layer(None, in_torch(noisy(K, (40, 56))[None])).exp()[:, 0].sum().backward()
    assert all(weight.grad is not None for weight in layer.parameters())
    assert (matrix == np.eye(K)).all()  # the caller's array is not what learns
