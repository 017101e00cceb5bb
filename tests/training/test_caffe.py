"""Momentum and accumulation in Caffe's form, against loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.training.trainings import still_network
from torch.optim.lr_scheduler import LambdaLR

from pixelwise.data.batches import Batch
from pixelwise.labels import IGNORE, MAIN
from pixelwise.training.loop import DivideBy, learn
from pixelwise.training.objectives import PixelObjective, Trainee
from pixelwise.training.optimiser import CaffeSGD, create_optimiser
from pixelwise.training.run import create_accelerator
from pixelwise.training.schedule import RateFactor

MOMENTUM, RATE = 0.9, 0.3
FACTOR = RateFactor("step", 10, warmup=2, milestones=(0.4, 0.7), drop=0.1)


def weights(generator: np.random.Generator) -> np.ndarray:
    return generator.normal(size=(2, 3))


def by_torch(name: str, gradients: list[np.ndarray], start: np.ndarray, decay: float) -> np.ndarray:
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    groups = [{"params": [parameter], "lr": RATE, "weight_decay": decay}]
    optimiser = create_optimiser(name, groups, MOMENTUM)  # type: ignore[arg-type]
    schedule = LambdaLR(optimiser, FACTOR)
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient)
        optimiser.step()
        schedule.step()
    return parameter.detach().numpy()


@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_ten_steps_of_a_changing_rate_equal_a_loop(decay: float) -> None:
    generator = np.random.default_rng(0)
    start, gradients = weights(generator), [weights(generator) for _ in range(10)]
    caffes, torchs = start.copy(), start.copy()
    velocity, memory = np.zeros((2, 3)), np.zeros((2, 3))
    for step, gradient in enumerate(gradients):
        rate = RATE * FACTOR(step)
        velocity = MOMENTUM * velocity + rate * (gradient + decay * caffes)
        caffes = caffes - velocity
        memory = MOMENTUM * memory + (gradient + decay * torchs)
        torchs = torchs - rate * memory
    np.testing.assert_allclose(by_torch("caffe", gradients, start, decay), caffes, rtol=1e-12)
    np.testing.assert_allclose(by_torch("sgd", gradients, start, decay), torchs, rtol=1e-12)
    assert np.abs(caffes - torchs).max() > 0.05  # the two are not the same


def test_at_one_rate_the_two_forms_are_one() -> None:
    generator = np.random.default_rng(1)
    start, gradients = weights(generator), [weights(generator) for _ in range(10)]
    ways = []
    for name in ("caffe", "sgd"):
        parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
        optimiser = create_optimiser(name, [{"params": [parameter], "lr": RATE, "weight_decay": 0.1}], MOMENTUM)
        for gradient in gradients:
            parameter.grad = torch.from_numpy(gradient)
            optimiser.step()
        ways.append(parameter.detach().numpy())
    np.testing.assert_allclose(*ways, rtol=1e-12)


def test_what_is_remembered_travels_with_a_saved_state() -> None:
    generator = np.random.default_rng(2)
    start, gradients = weights(generator), [torch.from_numpy(weights(generator)) for _ in range(4)]

    def begun() -> tuple[torch.nn.Parameter, CaffeSGD]:
        parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
        return parameter, CaffeSGD([{"params": [parameter], "lr": RATE}], MOMENTUM)

    whole, optimiser = begun()
    for gradient in gradients:
        whole.grad = gradient
        optimiser.step()
    first, optimiser = begun()
    for gradient in gradients[:2]:
        first.grad = gradient
        optimiser.step()
    second, again = begun()
    again.load_state_dict(optimiser.state_dict())
    second.data.copy_(first)
    for gradient in gradients[2:]:
        second.grad = gradient
        again.step()
    assert torch.equal(second, whole)


def batch(images: int, ignored: float, seed: int) -> Batch:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, (images, 16, 16))
    labels[generator.random(labels.shape) < ignored] = IGNORE
    pixels = torch.from_numpy(generator.integers(0, 256, (images, 3, 16, 16)).astype(np.float32))
    return Batch(pixels, {MAIN: torch.from_numpy(labels)}, ("a", "b", "c")[:images])


@pytest.mark.parametrize("divide_by", ["places", "batch", "images"])
def test_a_step_is_divided_as_it_is_asked(divide_by: DivideBy) -> None:
    group = [batch(2, 0.1, 0), batch(2, 0.9, 1), batch(1, 1.1, 2)]  # many labelled pixels, few, none
    network = still_network(3)
    sums, places = [], []
    gradients = []
    for one in group:
        network.zero_grad()
        total = torch.nn.functional.cross_entropy(
            network(one.images), one.labels[MAIN], ignore_index=IGNORE, reduction="sum"
        )
        total.backward()
        sums.append(total.item())
        places.append(int((one.labels[MAIN] != IGNORE).sum()))
        gradients.append(network.decoder.score.weight.grad.clone())
    weigh = {
        "places": [1 / sum(places)] * 3,
        "batch": [1 / max(count, 1) / 3 for count in places],  # iter_size 3: the mean of three means
        "images": [1 / 5] * 3,
    }[divide_by]
    network.zero_grad()
    accelerator = create_accelerator("no")
    parts, weight = learn(accelerator, Trainee(network, PixelObjective()), PixelObjective(), group, divide_by)
    assert weight == sum(places)
    assert parts["pixels"] == pytest.approx(sum(w * s for w, s in zip(weigh, sums, strict=True)), rel=1e-5)
    expected = sum(w * g for w, g in zip(weigh, gradients, strict=True))
    torch.testing.assert_close(network.decoder.score.weight.grad, expected, rtol=1e-4, atol=1e-6)
