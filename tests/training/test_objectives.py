"""The objectives on scores of the image's size against loops over pixels."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.training.loops import CLASSES, KINDS, WEIGHTS, by_loop, random_batch
from torch import nn

from pixelwise.data.batches import Batch
from pixelwise.geometry import Grid
from pixelwise.labels import IGNORE, MAIN
from pixelwise.models.network import Outputs
from pixelwise.models.published import create_model
from pixelwise.training.losses import Loss
from pixelwise.training.objectives import PixelObjective, Trainee


def random_trainee(objective: PixelObjective | None = None) -> Trainee:
    torch.manual_seed(0)
    network = create_model("fcn8s_vgg16", CLASSES, width=1 / 16).eval()
    for parameter in network.decoder.score.parameters():
        torch.nn.init.normal_(parameter)
    return Trainee(network, objective or PixelObjective())


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

    heads: ClassVar = {MAIN: CLASSES}

    def __init__(self, scores: torch.Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)

    def outputs(self, images: torch.Tensor) -> Outputs:
        return Outputs({MAIN: self.scores}, {MAIN: Grid()})

    def upsample(self, outputs: Outputs, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        assert self.scores.shape[-2:] == size
        return dict(outputs.scores)


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
    objective = PixelObjective(Loss(WEIGHTS if weighted else None, None if weighted else hardest, smoothing))
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


@pytest.mark.parametrize("ignored", [0.3, 1.1])
def test_the_label_loss_equals_a_loop_over_images_and_classes(ignored: float) -> None:
    torch.manual_seed(0)
    network = create_model("gdn_fcn32s_vgg16", CLASSES, width=1 / 16, side=33, label_loss=True, label_hidden=128).eval()
    nn.init.normal_(network.decoder.coarse.score.weight, std=0.01)
    batch = random_batch(ignored=ignored, size=(33, 33))
    labels = batch.labels[MAIN]
    labels[0][labels[0] == 2] = IGNORE  # a class that is in one image only
    objective = PixelObjective(Loss(), label_weight=0.7)
    parts = objective(network, batch)
    logits = network.outputs(batch.images).image_logits.detach().double().numpy()
    losses = []
    for n in range(2):
        for k in range(1, CLASSES):
            there = bool((labels[n] == k).any())
            losses.append(np.logaddexp(0, -logits[n, k - 1] if there else logits[n, k - 1]))
    total, count = by_loop(network(batch.images).detach().double().numpy(), labels.numpy(), objective)
    assert list(parts) == ["pixels", "labels"]
    np.testing.assert_allclose(parts["pixels"].item(), total, rtol=1e-5)
    np.testing.assert_allclose(parts["labels"].item(), 0.7 * np.mean(losses) * count, rtol=1e-5)
    torch.stack(list(parts.values())).sum().backward()
    assert bool(network.decoder.label_head[1].weight.grad.any()) == bool(count)


def test_the_losses_of_several_heads_are_summed() -> None:
    torch.manual_seed(0)
    network = create_model("fcn32s_vgg16", CLASSES, width=1 / 16, heads={"geometric": ["sky", "ground"]}).eval()
    for layer in network.last_layers:
        torch.nn.init.normal_(layer.weight)
    batch = random_batch(ignored=0.2)
    geometry = torch.from_numpy(np.random.default_rng(1).integers(0, 2, (2, 20, 30)))
    geometry[:, :7] = IGNORE
    batch = Batch(batch.images, {**batch.labels, "geometric": geometry}, batch.names)
    objective = PixelObjective()
    parts = objective(network, batch)
    full = network.upsample(network.outputs(batch.images), (20, 30))
    assert {name: part.item() for name, part in parts.items()} == {
        "pixels": pytest.approx(summed(full[MAIN], batch.labels[MAIN]), rel=1e-5),
        "pixels_geometric": pytest.approx(summed(full["geometric"], geometry), rel=1e-5),
    }
    assert objective.count(batch) == (batch.labels[MAIN] != IGNORE).sum()
    sum(parts.values()).backward()
    assert all(layer.weight.grad.any() for layer in network.last_layers)


def summed(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """The cross-entropy of the labelled pixels, one at a time."""
    total = 0.0
    logs = scores.detach().double().log_softmax(1).numpy()
    for image, row, column in np.argwhere(labels.numpy() != IGNORE):
        total -= logs[image, labels[image, row, column], row, column]
    return total
