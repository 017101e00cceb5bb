"""EfficientNet-Lite against the package that its weights come from, and against a cat."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from tests.conftest import Refuses
from torch import Tensor, nn

from pixelwise.data.sample import read_image
from pixelwise.geometry import resize_image
from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite
from pixelwise.models.backbones.vgg import VGG
from pixelwise.models.published import create_model
from pixelwise.weights.imagenet import lite_file, load_imagenet
from pixelwise.weights.load import load_named, read_state
from pixelwise.weights.names import efficientnet_lite_names

CAT = Path(__file__).parents[2] / "examples" / "photographs" / "cat.jpg"
HOUSE_CATS = {281: "tabby", 282: "tiger cat", 285: "Egyptian cat"}
"""ImageNet's classes of house cats of this fur; 283 is Persian, 284 Siamese."""


@pytest.fixture(scope="module")
def ours() -> EfficientNetLite:
    """The smallest trunk with ImageNet's weights, and its classifier in the head."""
    return classifier(0)


def classifier(lite: int) -> EfficientNetLite:
    trunk = with_classifier(EfficientNetLite(lite=lite, head=True))
    load_named(trunk, read_state(lite_file(lite)), efficientnet_lite_names(trunk), where=f"lite{lite}")
    return trunk.eval()


def with_classifier(trunk: EfficientNetLite) -> EfficientNetLite:
    assert trunk.head is not None
    trunk.head.classes = nn.Linear(trunk.channels[-1], 1000)
    return trunk


def classify(trunk: EfficientNetLite, images: Tensor) -> Tensor:
    return trunk.head.classes(trunk(images).maps[-1].mean((2, 3)))


@pytest.mark.parametrize("lite", [0, 2])
@pytest.mark.parametrize("size", [(224, 224), (96, 160)])
@torch.inference_mode()
def test_scores_equal_those_of_the_weights_own_package(lite: int, size: tuple[int, int]) -> None:
    ours = classifier(lite)
    theirs = EfficientNet.from_pretrained(f"efficientnet-lite{lite}", weights_path=str(lite_file(lite))).eval()
    images = torch.randn((2, 3, *size), generator=torch.Generator().manual_seed(0))
    expected = theirs(images)
    assert expected.std() > 0.1
    torch.testing.assert_close(classify(ours, images), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("lite", [0, 2])
@torch.inference_mode()
def test_a_cat_is_a_cat(lite: int) -> None:
    pixels = resize_image(read_image(CAT), (224, 224))
    normalise = create_model("fcn8s_lite0", 2).normalise
    images = normalise(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())
    torch.testing.assert_close(images.amax(), torch.tensor((pixels.max() - 127) / 128, dtype=torch.float32))
    assert classify(classifier(lite), images).argmax().item() in HOUSE_CATS


@pytest.mark.parametrize("size", [(1, 1), (7, 33), (97, 64), (101, 63), (224, 224)])
@pytest.mark.parametrize(
    ("strides", "channels"), [((8, 16, 32), (40, 112, 320)), ((8, 16), (40, 320)), ((8,), (320,))], ids=str
)
@torch.inference_mode()
def test_every_begun_stride_has_a_cell(
    strides: tuple[int, ...], channels: tuple[int, ...], size: tuple[int, int]
) -> None:
    trunk = EfficientNetLite(output_stride=strides[-1]).eval()
    maps = trunk(torch.zeros(1, 3, *size)).maps
    expected = [
        (1, count, -(-size[0] // stride), -(-size[1] // stride))
        for count, stride in zip(channels, strides, strict=True)
    ]
    assert [tuple(map_.shape) for map_ in maps] == expected
    assert trunk.channels == channels
    assert [grid.scale for grid in trunk.grids] == list(strides)


@pytest.mark.parametrize("stride", [8, 16])
@torch.inference_mode()
def test_the_last_map_of_a_smaller_stride_holds_the_cells_of_the_coarse_one(
    ours: EfficientNetLite, stride: int
) -> None:
    dense = with_classifier(EfficientNetLite(output_stride=stride, head=True)).eval()
    load_named(dense, read_state(lite_file(0)), efficientnet_lite_names(dense), where="lite0")
    assert {name: value.shape for name, value in dense.state_dict().items()} == {
        name: value.shape for name, value in ours.state_dict().items()
    }
    images = torch.randn((1, 3, 128, 96), generator=torch.Generator().manual_seed(0))
    fine, coarse = dense(images).maps, ours(images).maps
    assert fine[-1].shape == (1, 1280, 128 // stride, 96 // stride)
    every = 32 // stride
    first = round((ours.grids[-1].shift - dense.grids[-1].shift) / stride)
    assert first == every - 1  # cells of stride 32 look half their stride further on than those of stride 16
    assert coarse[-1].std() > 0.1
    torch.testing.assert_close(fine[-1][..., first::every, first::every], coarse[-1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("stride", [4, 12, 64])
def test_an_output_stride_that_no_decoder_reads_is_a_defect(stride: int) -> None:
    with pytest.raises(AssertionError):
        EfficientNetLite(output_stride=stride)


@torch.inference_mode()
def test_a_network_starts_from_imagenet(ours: EfficientNetLite) -> None:
    network = create_model("fcn8s_lite0", 2).eval()
    assert "EfficientNet-Lite0" in load_imagenet(network)
    images = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    for own, expected in zip(network.backbone(images).maps, ours(images).maps[:-1], strict=True):
        assert torch.equal(own, expected)


@torch.inference_mode()
def test_a_trunk_with_a_head_starts_with_what_imagenets_classes_are_told_from(ours: EfficientNetLite) -> None:
    network = create_model("deeplab8s_lite0", 2).eval()
    load_imagenet(network)
    deep = torch.rand((1, 320, 5, 4), generator=torch.Generator().manual_seed(0))
    assert torch.equal(network.backbone.head(deep), ours.head(deep))


def test_a_trunk_without_known_weights_is_refused(refuses: Refuses) -> None:
    network = create_model("fcn8s_vgg16", 2, width=1 / 16)
    with refuses(f"no ImageNet weights are at hand for {VGG.__name__}", "init=none"):
        load_imagenet(network)
