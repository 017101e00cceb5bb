"""FCN's networks score as a plain second writing of the release: full K x K kernels, bilinear diagonals, offsets typed in."""

from __future__ import annotations

import pytest
import torch
from tests.models.networks import narrow, pictures
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.geometry import Size

SIZES = [(1, 1), (37, 51), (96, 120)]
VGG16 = ["fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16"]
STAGES = (2, 2, 3, 3, 3)


def plain_pools(state: dict[str, Tensor], images: Tensor, stages: tuple[int, ...] = STAGES) -> list[Tensor]:
    """Raw RGB images -> the maps behind VGG16's pools."""
    x = images.flip(1) - torch.tensor([104.00699, 116.66877, 122.67892]).view(1, 3, 1, 1)
    pools = []
    weights = iter([name.removesuffix(".weight") for name in state if name.startswith("backbone.features.")][::2])
    for stage, convolutions in enumerate(stages):
        for convolution in range(convolutions):
            name = next(weights)
            padding = 100 if stage == convolution == 0 else 1
            x = functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding).relu()
        x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
        pools.append(x)
    return pools


def plain_scores(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return functional.conv2d(x, state[f"decoder.{name}.weight"], state[f"decoder.{name}.bias"])


def plain_fcn(
    state: dict[str, Tensor], images: Tensor, skips: int, factors: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """FCN on VGG16 as `voc-fcn{32,16,8}s/net.py` list it; `factors` of pool4 and pool3 as `voc-fcn8s-atonce/net.py`."""
    pools = plain_pools(state, images)
    x = plain_scores(state, "head.0", pools[4]).relu()
    x = plain_scores(state, "head.3", x).relu()
    x = plain_scores(state, "score", x)
    offsets = {0: (), 1: (5,), 2: (5, 9)}[skips]
    for step, (offset, pool, factor) in enumerate(zip(offsets, (pools[3], pools[2]), factors, strict=False)):
        up = deconvolution(x, 4, 2)
        skip = plain_scores(state, f"skip_scores.{step}", pool * factor)
        x = up + skip[:, :, offset : offset + up.shape[2], offset : offset + up.shape[3]]
    return enlarged(x, {0: 32, 1: 16, 2: 8}[skips], {0: 19, 1: 27, 2: 31}[skips], images)


def enlarged(x: Tensor, stride: int, offset: int, images: Tensor) -> Tensor:
    x = deconvolution(x, 2 * stride, stride)
    return x[:, :, offset : offset + images.shape[2], offset : offset + images.shape[3]]


def deconvolution(x: Tensor, kernel: int, stride: int) -> Tensor:
    classes = x.shape[1]
    layer = nn.ConvTranspose2d(classes, classes, kernel, stride, bias=False).double()
    factor, centre = (kernel + 1) // 2, kernel / 2 - 0.5
    with torch.no_grad():
        layer.weight.zero_()
        for i in range(kernel):
            for j in range(kernel):
                value = (1 - abs(i - centre) / factor) * (1 - abs(j - centre) / factor)
                layer.weight[range(classes), range(classes), i, j] = value
    return layer(x)


@pytest.mark.parametrize(("skips", "name"), list(enumerate(VGG16)))
@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_scores_equal_a_plain_second_writing_of_the_release(skips: int, name: str, size: Size) -> None:
    network, images = narrow(name, seed=skips).double(), pictures(1, size).double()
    scores = network(images)
    assert scores.std() > 1e-3
    torch.testing.assert_close(scores, plain_fcn(network.state_dict(), images, skips), rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_at_once_the_finer_maps_are_made_small_before_they_are_scored() -> None:
    network, images = narrow("fcn8s_atonce_vgg16").double(), pictures(1, (37, 51)).double()
    expected = plain_fcn(network.state_dict(), images, 2, (0.01, 0.0001))
    torch.testing.assert_close(network(images), expected, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(plain_fcn(network.state_dict(), images, 2), expected, rtol=1e-2)


@pytest.mark.parametrize(("pool", "offset"), [(5, 115), (4, 107), (3, 103)])
@torch.no_grad()
def test_a_net_cut_at_a_pool_scores_that_pool_alone(pool: int, offset: int) -> None:
    # Offsets by hand: conv1_1 moves cells by -99, the pools by 0.5, 1, 2, 4, 8, the kernel by (1 - its side) / 2.
    network, images = narrow(f"fcn_pool{pool}_vgg16").double(), pictures(1, (37, 51)).double()
    state = network.state_dict()
    x = plain_scores(state, "score", plain_pools(state, images, STAGES[:pool])[-1])
    expected = enlarged(x, 2**pool, offset, images)
    assert expected.std() > 1e-3
    torch.testing.assert_close(network(images), expected, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_the_larger_score_wins_place_by_place() -> None:
    network, images = narrow("fcn16s_vgg16", fusion="max").double(), pictures(1, (37, 51)).double()
    state = network.state_dict()
    pools = plain_pools(state, images)
    x = plain_scores(state, "head.3", plain_scores(state, "head.0", pools[4]).relu()).relu()
    up = deconvolution(plain_scores(state, "score", x), 4, 2)
    skip = plain_scores(state, "skip_scores.0", pools[3])[:, :, 5 : 5 + up.shape[2], 5 : 5 + up.shape[3]]
    assert (up > skip).any()
    assert (up < skip).any()
    expected = enlarged(torch.where(up > skip, up, skip), 16, 27, images)
    torch.testing.assert_close(network(images), expected, rtol=1e-6, atol=1e-6)
