"""DeepLab's networks score as a plain second writing of the released definitions: everything typed in."""

from __future__ import annotations

import pytest
import torch
from tests.models.networks import lively, pictures
from torch import Tensor
from torch.nn import functional

from pixelwise.labels import MAIN
from pixelwise.models.network import Network
from pixelwise.models.published import list_models

MSC = "deeplab_msc_largefov_vgg16"
SIZES = [(17, 33), (49, 41)]

POOLS = {
    2: [(2, 2, 1), (2, 2, 1), (2, 2, 1), (2, 1, 0), (3, 1, 1)],
    3: [(3, 2, 1), (3, 2, 1), (3, 2, 1), (3, 1, 1), (3, 1, 1)],
}


def straightforward_vgg(state: dict[str, Tensor], images: Tensor, pools: int) -> list[Tensor]:
    """The image less the mean, and what stands behind each pool."""
    x = images.flip(1) - torch.tensor([104.008, 116.669, 122.675]).double().view(1, 3, 1, 1)
    maps = [x]
    layers = iter([name.removesuffix(".weight") for name in state if name.startswith("backbone.features.")][::2])
    for stage, convolutions in enumerate((2, 2, 3, 3, 3)):
        dilation = 2 if stage == 4 else 1
        for _ in range(convolutions):
            layer = next(layers)
            weight, bias = state[f"{layer}.weight"], state[f"{layer}.bias"]
            x = functional.conv2d(x, weight, bias, padding=dilation, dilation=dilation).relu()
        kernel, stride, padding = POOLS[pools][stage]
        x = functional.max_pool2d(x, kernel, stride, padding, ceil_mode=True)
        maps.append(x)
    return maps


def straightforward_view(
    state: dict[str, Tensor], x: Tensor, *, branch: int = 0, rate: int, padding: int, pool5a: bool = False
) -> Tensor:
    """fc6, fc7 and fc8."""
    here = f"decoder.branches.{branch}"
    if pool5a:
        cells = functional.pad(x, (1, 1, 1, 1))
        height, width = x.shape[-2:]
        x = sum(cells[..., i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9
    x = functional.conv2d(x, state[f"{here}.fc6.weight"], state[f"{here}.fc6.bias"], 1, padding, rate).relu()
    x = functional.conv2d(x, state[f"{here}.fc7.weight"], state[f"{here}.fc7.bias"]).relu()
    return functional.conv2d(x, state[f"{here}.score.weight"], state[f"{here}.score.bias"])


def straightforward_side(state: dict[str, Tensor], x: Tensor, *, branch: int, stride: int) -> Tensor:
    """A branch of MSc."""
    here = f"decoder.branches.{branch}"
    x = functional.conv2d(x, state[f"{here}.conv1.weight"], state[f"{here}.conv1.bias"], stride, 1).relu()
    x = functional.conv2d(x, state[f"{here}.conv2.weight"], state[f"{here}.conv2.bias"]).relu()
    return functional.conv2d(x, state[f"{here}.score.weight"], state[f"{here}.score.bias"])


def straightforward_scores(name: str, network: Network, images: Tensor) -> Tensor:
    """The coarse scores, as the release's definitions list the layers."""
    state = network.state_dict()
    if name.endswith("resnet101"):
        (x,) = network.backbone(network.normalise(images)).maps  # tests/models/test_resnet.py writes it a second time
        rates = (6, 12, 18, 24) if "aspp" in name else (12,)
        weights = [f"decoder.branches.{branch}.0" for branch in range(len(rates))]
        scores = [
            functional.conv2d(x, state[f"{layer}.weight"], state[f"{layer}.bias"], 1, rate, rate)
            for layer, rate in zip(weights, rates, strict=True)
        ]
        return torch.stack(scores).sum(0)
    if name in ("deeplab_vgg16", "deeplab_7x7_vgg16"):
        x = straightforward_vgg(state, images, pools=2)[-1]
        return straightforward_view(state, x, rate=4, padding=12 if "7x7" in name else 6)
    maps = straightforward_vgg(state, images, pools=3)
    if "aspp" in name:
        rates = (2, 4, 8, 12) if "aspp_s" in name else (6, 12, 18, 24)
        views = [
            straightforward_view(state, maps[-1], branch=branch, rate=rate, padding=rate)
            for branch, rate in enumerate(rates)
        ]
        return torch.stack(views).sum(0)
    if name == "deeplab_largefov_vgg16":
        return straightforward_view(state, maps[-1], rate=12, padding=12, pool5a=True)
    fused = straightforward_view(state, maps[-1], branch=5, rate=12, padding=12, pool5a=True)
    for branch, stride in enumerate((8, 4, 2, 1, 1)):
        fused = fused + straightforward_side(state, maps[branch], branch=branch, stride=stride)
    return fused


@pytest.mark.parametrize("name", [name for name in list_models("deeplab_*") if not name.endswith("lite0")])
@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_scores_equal_a_straightforward_writing_of_the_release(name: str, size: tuple[int, int]) -> None:
    network, images = lively(name).double(), pictures(2, size).double()
    scores = network.outputs(images).scores[MAIN]
    expected = straightforward_scores(name, network, images)
    assert expected.std() > 1e-3
    torch.testing.assert_close(scores, expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))


@torch.no_grad()
def test_every_branch_of_msc_counts() -> None:
    network, images = lively(MSC), pictures(2, (17, 25))
    together = network.outputs(images).scores[MAIN]
    for branch in network.decoder.last_layers:
        weight = branch.weight.clone()
        branch.weight.zero_()
        assert not torch.allclose(network.outputs(images).scores[MAIN], together)
        branch.weight.copy_(weight)
    assert torch.equal(network.outputs(images).scores[MAIN], together)
