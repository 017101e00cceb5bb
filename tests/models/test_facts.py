"""Facts about networks: the published ones, sums worked out layer by layer, and that nothing happens to what is described."""

from __future__ import annotations

import math

import pytest
import torch
from tests.conftest import Refuses

from pixelwise.geometry import SizeRule
from pixelwise.models.facts import Facts, describe, in_words
from pixelwise.models.published import create_model

VGG16 = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]


def work_of_fcn32s(side: int, classes: int) -> int:
    """Multiply-adds of FCN-32s for a square image: cells made times what goes into each, layer by layer."""
    total, channels, cells = 0, 3, side + 198  # the padding of 100 less what a 3x3 takes off
    for out, convolutions in VGG16:
        for _ in range(convolutions):
            total += cells**2 * 9 * channels * out
            channels = out
        cells = math.ceil(cells / 2)
    cells -= 6
    total += cells**2 * (49 * 512 * 4096 + 4096 * 4096 + 4096 * classes)
    return total + cells**2 * 64**2 * classes  # every cell spreads over 64 x 64 pixels


@pytest.mark.parametrize(("side", "classes"), [(500, 21), (224, 3)])
def test_multiply_adds_layer_by_layer(side: int, classes: int) -> None:
    facts = describe("fcn32s_vgg16", classes, size=(side, side))
    assert facts.multiply_adds == work_of_fcn32s(side, classes)
    assert facts.size == (side, side)


def test_global_deconvolution_costs_what_the_paper_says() -> None:
    gdn, fcn = describe("gdn_fcn32s_vgg16"), describe("fcn32s_vgg16")
    enlarging = 16**2 * 64**2 * 21
    of_matrices = 21 * (500 * 16 * 16 + 500 * 16 * 500)  # C (H h w + H w W)
    assert gdn.multiply_adds - of_matrices == fcn.multiply_adds - enlarging


def test_published_facts() -> None:
    assert describe("fcn32s_vgg16") == Facts(
        parameters=134_346_581,
        multiply_adds=work_of_fcn32s(500, 21),
        size=(500, 500),
        stride=32,
        receptive_field=404,  # FCN, table 1
        sizes="any",
    )
    alexnet = describe("fcn32s_alexnet")
    assert (alexnet.receptive_field, alexnet.stride) == (355, 32)  # FCN, table 1
    largefov = describe("deeplab_largefov_vgg16")
    assert (largefov.parameters, largefov.receptive_field, largefov.stride) == (20_505_429, 435, 8)


def test_an_image_is_counted_at_a_size_that_the_network_takes() -> None:
    deconvnet = describe("deconvnet_vgg16", width=1 / 16)
    assert (deconvnet.size, deconvnet.sizes) == ((512, 512), "32k from 224")
    gdn = describe("gdn_fcn32s_vgg16", width=1 / 16, side=200, size=(300, 600))
    assert (gdn.size, gdn.sizes) == ((100, 200), "up to 200")


def test_a_network_is_described_like_its_name_and_left_alone() -> None:
    network = create_model("fcn8s_lite0", 4, width=1 / 16).train()
    network.backbone.stem.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    assert describe(network, size=(60, 80)) == describe("fcn8s_lite0", 4, width=1 / 16, size=(60, 80))
    assert modes == [module.training for module in network.modules()]
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(tensor, after[name]) and tensor.device.type == "cpu" for name, tensor in before.items())
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (SizeRule(), "any"),
        (SizeRule(minimum=31), "from 31"),
        (SizeRule(maximum=500), "up to 500"),
        (SizeRule(minimum=224, multiple=32), "32k from 224"),
        (SizeRule(multiple=8, offset=1), "8k + 1"),
        (SizeRule(minimum=224, maximum=513, multiple=32, offset=224), "32k from 224 up to 513"),
    ],
)
def test_size_rules_in_words(rule: SizeRule, words: str) -> None:
    assert in_words(rule) == words


def test_an_unknown_network_is_refused(refuses: Refuses) -> None:
    with refuses("unknown network 'fcn8s_lite'", "did you mean 'fcn8s_lite0'?"):
        describe("fcn8s_lite")
