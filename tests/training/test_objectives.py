"""The objective against a loop over pixels."""

from __future__ import annotations

import numpy as np
import torch

from pixelwise.data.batches import Batch
from pixelwise.labels import IGNORE, MAIN
from pixelwise.models.published import create_model
from pixelwise.training.objectives import PixelObjective, Trainee

CLASSES = 4


def random_batch(*, ignored: float, seed: int = 0) -> Batch:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, (2, 20, 30))
    labels[generator.random(labels.shape) < ignored] = IGNORE
    images = generator.integers(0, 256, (2, 3, 20, 30)).astype(np.float32)
    return Batch(torch.from_numpy(images), {MAIN: torch.from_numpy(labels)}, ("a", "b"))


def random_trainee() -> Trainee:
    torch.manual_seed(0)
    network = create_model("fcn8s_vgg16", CLASSES, width=1 / 16).eval()
    for parameter in network.decoder.score.parameters():
        torch.nn.init.normal_(parameter)
    return Trainee(network, PixelObjective())


def test_the_sum_equals_a_loop_over_the_labelled_pixels() -> None:
    batch, trainee = random_batch(ignored=0.3), random_trainee()
    scores = trainee.network(batch.images).detach().double().numpy()
    total, count = 0.0, 0
    for n, y, x in np.ndindex(2, 20, 30):
        label = int(batch.labels[MAIN][n, y, x])
        if label != IGNORE:
            pixel = scores[n, :, y, x] - scores[n, :, y, x].max()
            total += np.log(np.exp(pixel).sum()) - pixel[label]
            count += 1
    parts = trainee(batch)
    assert list(parts) == ["pixels"]
    np.testing.assert_allclose(parts["pixels"].item(), total, rtol=1e-5)
    assert trainee.objective.count(batch).item() == count < 1200


def test_an_image_without_labelled_pixels_teaches_nothing() -> None:
    batch, trainee = random_batch(ignored=1.1), random_trainee()
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


def test_the_sum_is_in_32_bits_under_16_bit_arithmetic() -> None:
    trainee, batch = random_trainee(), random_batch(ignored=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert trainee.network(batch.images).dtype == torch.bfloat16
        assert trainee(batch)["pixels"].dtype == torch.float32
