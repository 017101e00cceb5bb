"""The objective against a loop over pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pixelwise.data.batches import Batch
from pixelwise.labels import IGNORE, MAIN
from pixelwise.models.published import create_model
from pixelwise.training.objectives import PixelObjective, Trainee

CLASSES = 4
WEIGHTS = (0.5, 0.0, 2.0, 1.5)

KINDS = {
    "plain": PixelObjective(),
    "weighted": PixelObjective(WEIGHTS),
    "hardest": PixelObjective(hardest=0.3),
    "smoothed": PixelObjective(smoothing=0.2),
    "weighted and smoothed": PixelObjective(WEIGHTS, smoothing=0.2),
    "hardest and smoothed": PixelObjective(hardest=0.3, smoothing=0.2),
}


def random_batch(*, ignored: float, seed: int = 0, size: tuple[int, int] = (20, 30)) -> Batch:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, (2, *size))
    labels[generator.random(labels.shape) < ignored] = IGNORE
    images = generator.integers(0, 256, (2, 3, *size)).astype(np.float32)
    return Batch(torch.from_numpy(images), {MAIN: torch.from_numpy(labels)}, ("a", "b"))


def random_trainee(objective: PixelObjective | None = None) -> Trainee:
    torch.manual_seed(0)
    network = create_model("fcn8s_vgg16", CLASSES, width=1 / 16).eval()
    for parameter in network.decoder.score.parameters():
        torch.nn.init.normal_(parameter)
    return Trainee(network, objective or PixelObjective())


def by_loop(scores: np.ndarray, labels: np.ndarray, objective: PixelObjective) -> tuple[float, float]:
    """The sum and what to divide it by, a pixel at a time."""
    weights = [1.0] * CLASSES if objective.class_weights is None else objective.class_weights.tolist()
    losses, places = [], []
    for n, y, x in np.ndindex(labels.shape):
        label = labels[n, y, x]
        if label == IGNORE:
            continue
        shifted = scores[n, :, y, x] - scores[n, :, y, x].max()
        surprise = np.log(np.exp(shifted).sum()) - shifted
        target = [(1 - objective.smoothing) * (k == label) + objective.smoothing / CLASSES for k in range(CLASSES)]
        losses.append(sum(weights[k] * target[k] * surprise[k] for k in range(CLASSES)))
        places.append(weights[label])
    if objective.hardest is not None:
        kept = math.ceil(objective.hardest * len(losses))
        losses, places = sorted(losses, reverse=True)[:kept], [1.0] * kept
    return sum(losses), sum(places)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_equals_a_loop_over_the_labelled_pixels(kind: str) -> None:
    batch, trainee = random_batch(ignored=0.3), random_trainee(KINDS[kind])
    scores = trainee.network(batch.images).detach().double().numpy()
    total, count = by_loop(scores, batch.labels[MAIN].numpy(), KINDS[kind])
    parts = trainee(batch)
    assert list(parts) == ["pixels"]
    np.testing.assert_allclose(parts["pixels"].item(), total, rtol=1e-5)
    np.testing.assert_allclose(trainee.objective.count(batch).item(), count, rtol=1e-5)
    assert 0 < count < 1200


class Given(nn.Module):
    """A network that answers with the scores it was given."""

    def __init__(self, scores: torch.Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scores


@given(
    seed=st.integers(0, 2**16),
    ignored=st.sampled_from([0.0, 0.5, 0.95, 1.1]),
    scale=st.sampled_from([0.1, 1.0, 100.0]),
    weighted=st.booleans(),
    hardest=st.none() | st.floats(0.01, 1),
    smoothing=st.sampled_from([0.0, 0.1, 0.9]),
)
def test_any_scores_and_labels_give_what_the_loop_gives(
    seed: int, ignored: float, scale: float, weighted: bool, hardest: float | None, smoothing: float
) -> None:
    objective = PixelObjective(WEIGHTS if weighted else None, None if weighted else hardest, smoothing)
    batch = random_batch(ignored=ignored, seed=seed, size=(3, 4))
    scores = scale * torch.randn((2, CLASSES, 3, 4), generator=torch.Generator().manual_seed(seed))
    network = Given(scores)
    total, count = by_loop(scores.double().numpy(), batch.labels[MAIN].numpy(), objective)
    loss = objective(network, batch)["pixels"]  # type: ignore[arg-type]
    np.testing.assert_allclose(loss.item(), total, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(objective.count(batch).item(), count, rtol=1e-5)
    loss.backward()
    assert network.scores.grad is not None
    assert network.scores.grad.isfinite().all()
    unlabelled = (batch.labels[MAIN] == IGNORE)[:, None].expand_as(scores)
    assert not network.scores.grad[unlabelled].any()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_without_labelled_pixels_teaches_nothing(kind: str) -> None:
    batch, trainee = random_batch(ignored=1.1), random_trainee(KINDS[kind])
    loss = trainee(batch)["pixels"]
    loss.backward()
    assert loss.item() == trainee.objective.count(batch).item() == 0
    gradients = [parameter.grad for parameter in trainee.parameters() if parameter.grad is not None]
    assert gradients
    assert not any(gradient.any() for gradient in gradients)


def test_ignored_pixels_do_not_move_the_weights() -> None:
    some, trainee = random_batch(ignored=0.5), random_trainee()
    trainee(some)["pixels"].backward()
    expected = trainee.network.decoder.score.bias.grad.clone()
    trainee.zero_grad()
    labelled = some.labels[MAIN] != IGNORE
    scores = trainee.network(some.images).movedim(1, -1)[labelled]  # the same, with the ignored pixels taken out
    torch.nn.functional.cross_entropy(scores, some.labels[MAIN][labelled], reduction="sum").backward()
    torch.testing.assert_close(trainee.network.decoder.score.bias.grad, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_is_in_32_bits_under_16_bit_arithmetic(kind: str) -> None:
    trainee, batch = random_trainee(KINDS[kind]), random_batch(ignored=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert trainee.network(batch.images).dtype == torch.bfloat16
        assert trainee(batch)["pixels"].dtype == torch.float32
