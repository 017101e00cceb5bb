"""EfficientNet-Lite0 against the package that its weights come from, and against a cat."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from tests.conftest import Refuses
from torch import Tensor

from pixelwise.data.sample import read_image
from pixelwise.geometry import resize_image
from pixelwise.models.backbones.efficientnet_lite import ClassificationHead, EfficientNetLite
from pixelwise.models.backbones.vgg import VGG
from pixelwise.models.published import create_model
from pixelwise.weights.imagenet import lite0_file, load_imagenet
from pixelwise.weights.load import load_named, read_state
from pixelwise.weights.names import efficientnet_lite_names

CAT = Path(__file__).parents[2] / "examples" / "photographs" / "cat.jpg"
HOUSE_CATS = {281: "tabby", 282: "tiger cat", 285: "Egyptian cat"}
"""ImageNet's classes of house cats of this fur; 283 is Persian, 284 Siamese."""


@pytest.fixture(scope="module")
def ours() -> EfficientNetLite:
    """The trunk with ImageNet's weights, and its classifier as `head`."""
    trunk = EfficientNetLite()
    trunk.head = ClassificationHead()
    load_named(trunk, read_state(lite0_file()), efficientnet_lite_names(trunk), where="lite0")
    return trunk.eval()


def classify(trunk: EfficientNetLite, images: Tensor) -> Tensor:
    return trunk.head(trunk(images))


@pytest.mark.parametrize("size", [(224, 224), (96, 160)])
@torch.inference_mode()
def test_scores_equal_those_of_the_weights_own_package(ours: EfficientNetLite, size: tuple[int, int]) -> None:
    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(lite0_file())).eval()
    images = torch.randn((2, 3, *size), generator=torch.Generator().manual_seed(0))
    expected = theirs(images)
    assert expected.std() > 0.1
    torch.testing.assert_close(classify(ours, images), expected, rtol=0, atol=1e-4)


@torch.inference_mode()
def test_a_cat_is_a_cat(ours: EfficientNetLite) -> None:
    pixels = resize_image(read_image(CAT), (224, 224))
    normalise = create_model("fcn8s_lite0", 2).normalise
    images = normalise(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())
    torch.testing.assert_close(images.amax(), torch.tensor((pixels.max() - 127) / 128, dtype=torch.float32))
    assert classify(ours, images).argmax().item() in HOUSE_CATS


@pytest.mark.parametrize("size", [(1, 1), (7, 33), (97, 64), (101, 63), (224, 224)])
@torch.inference_mode()
def test_every_begun_stride_has_a_cell(size: tuple[int, int]) -> None:
    trunk = EfficientNetLite().eval()
    maps = trunk(torch.zeros(1, 3, *size)).maps
    for stride, channels, map_ in zip((8, 16, 32), trunk.channels, maps, strict=True):
        assert map_.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))
    assert trunk.channels == (40, 112, 320)
    assert [grid.scale for grid in trunk.grids] == [8, 16, 32]


@torch.inference_mode()
def test_a_network_starts_from_imagenet(ours: EfficientNetLite) -> None:
    network = create_model("fcn8s_lite0", 2).eval()
    assert "EfficientNet-Lite0" in load_imagenet(network)
    images = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    for own, expected in zip(network.backbone(images).maps, ours(images).maps, strict=True):
        assert torch.equal(own, expected)


def test_a_trunk_without_known_weights_is_refused(refuses: Refuses) -> None:
    network = create_model("fcn8s_vgg16", 2, width=1 / 16)
    with refuses(f"no ImageNet weights are at hand for {VGG.__name__}", "init=none"):
        load_imagenet(network)
