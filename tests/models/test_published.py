"""What every network promises, whoever published it: scores of the images' size, in two steps, for each image alone."""

from __future__ import annotations

import fnmatch

import numpy as np
import pytest
import torch
from tests.conftest import Refuses
from tests.models.networks import CLASSES, full_size, narrow, parameter_count, pictures

from pixelwise.geometry import Size
from pixelwise.inference.predictors import WholeImage
from pixelwise.labels import MAIN
from pixelwise.models.published import create_model, list_models

SIZES = [(1, 1), (37, 51), (96, 120)]

every_network = pytest.mark.parametrize("name", list_models())


@every_network
@pytest.mark.parametrize("size", SIZES)
@torch.inference_mode()
def test_scores_have_the_images_size(name: str, size: Size) -> None:
    network = narrow(name)
    given = network.sizes.padded(size)
    scores = network(pictures(2, given))
    assert scores.shape == (2, CLASSES, *given)
    assert scores.isfinite().all()
    assert scores.std() > 0
    assert network.heads == {MAIN: CLASSES}


@every_network
@torch.inference_mode()
def test_forward_is_outputs_then_upsample(name: str) -> None:
    network = narrow(name)
    size = network.sizes.padded((45, 70))
    images = pictures(1, size)
    outputs = network.outputs(images)
    assert outputs.scores.keys() == outputs.grids.keys() == network.heads.keys()
    assert outputs.scores[MAIN].shape[:2] == (1, CLASSES)
    assert torch.equal(network(images), network.upsample(outputs, size)[MAIN])


@every_network
@torch.inference_mode()
def test_images_of_a_batch_do_not_touch_each_other(name: str) -> None:
    network = narrow(name).double()
    images = pictures(3, network.sizes.padded((50, 41))).double()
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, rtol=1e-10, atol=1e-10)


@every_network
@torch.inference_mode()
def test_the_fill_is_nothing_to_the_network(name: str) -> None:
    network = narrow(name)
    filled = torch.tensor(network.fill).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert not network.normalise(filled).any()


@every_network
def test_a_narrow_network_is_smaller(name: str) -> None:
    assert parameter_count(full_size(name, width=1 / 4)) < parameter_count(full_size(name)) / 2


@every_network
def test_the_last_layers_learn_and_are_the_decoders_own(name: str) -> None:
    network = full_size(name)
    decoders = set(network.decoder.parameters())
    assert network.last_layers
    for layer in network.last_layers:
        parameters = list(layer.parameters())
        assert parameters
        assert decoders.issuperset(parameters)
        assert all(parameter.requires_grad for parameter in parameters)


@every_network
def test_an_option_that_a_network_lacks_is_refused(name: str, refuses: Refuses) -> None:
    with refuses(f"network '{name}' has no such option", "'widht'", "did you mean 'width'?"):
        create_model(name, CLASSES, widht=0.5)


def assert_scored_whole(name: str, sizes: list[Size]) -> None:
    """Images of all `sizes` come back as scores of their size, whatever the network takes."""
    predictor = WholeImage(narrow(name, width=1 / 64), "cpu")
    for size in sizes:
        assert predictor(np.zeros((*size, 3), np.uint8)).shape == (CLASSES, *size)


@every_network
def test_an_image_of_any_side_is_scored(name: str) -> None:
    # all remainders of every stride, and each as height and as width; crops assert what they hold
    assert_scored_whole(name, [(side, 65 - side) for side in range(1, 65)])


@pytest.mark.slow
@every_network
def test_an_image_of_any_side_up_to_600_is_scored(name: str) -> None:
    # each side once: the odd ones as heights, the even ones as widths
    assert_scored_whole(name, [(side, 601 - side) for side in range(1, 601, 2)])


def test_networks_are_listed_by_pattern() -> None:
    assert list_models("fcn*_lite0") == ["fcn32s_lite0", "fcn16s_lite0", "fcn8s_lite0"]
    assert list_models("deeplab*") == [name for name in list_models() if fnmatch.fnmatch(name, "deeplab*")]
    assert list_models("no*") == []


def test_what_cannot_be_built_is_refused(refuses: Refuses) -> None:
    with refuses("unknown network 'fcn8s_vg16'", "did you mean 'fcn8s_vgg16'?"):
        create_model("fcn8s_vg16", 21)
    with refuses("at least 1 class", "got 0"):
        create_model("fcn8s_vgg16", 0)
    with refuses("network 'fcn8s_vgg16' cannot be built", "{'width': 'wide'}"):
        create_model("fcn8s_vgg16", 21, width="wide")
