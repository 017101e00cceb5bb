"""Depthwise convolutions whose gradients are put together from others: the same numbers as PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelwise.models.depthwise import DepthwiseConv2d, input_gradient, weight_gradient

# kernel, stride, padding, dilation: Lite0's, and odd ones
GEOMETRIES = (
    (3, 1, 1, 1), (3, 2, 0, 1), (3, 1, 2, 2), (5, 1, 2, 1), (5, 2, 0, 1), (5, 1, 4, 2),
    (5, 2, 1, 1), (7, 1, 3, 1), (7, 3, 2, 1), (5, 1, 0, 3), (1, 2, 0, 1), (4, 1, 1, 1),
)  # fmt: skip


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), GEOMETRIES)
@pytest.mark.parametrize("side", [17, 18])
def test_gradients_are_those_of_the_plain_convolution(
    kernel: int, stride: int, padding: int, dilation: int, side: int
) -> None:
    generator = torch.Generator().manual_seed(kernel * 100 + side)
    x = torch.randn((2, 3, side, side + 3), dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.randn((3, 1, kernel, kernel), dtype=torch.float64, generator=generator, requires_grad=True)
    out = nn.functional.conv2d(x, weight, None, stride, padding, dilation, groups=3)
    gradient = torch.randn(out.shape, dtype=torch.float64, generator=generator)
    wanted_x, wanted_weight = torch.autograd.grad(out, (x, weight), gradient)
    x, weight = x.detach(), weight.detach()
    got_x = input_gradient(gradient, weight, x.shape[-2:], stride, padding, dilation)
    got_weight = weight_gradient(gradient, x, kernel, stride, padding, dilation)
    torch.testing.assert_close(got_x, wanted_x)
    torch.testing.assert_close(got_weight, wanted_weight)


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), GEOMETRIES[:6])
def test_in_bf16_they_are_as_near_as_rounding(kernel: int, stride: int, padding: int, dilation: int) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv2d(8, kernel, stride=stride, padding=padding, dilation=dilation)
    x = torch.randn(2, 8, 16, 16, requires_grad=True)
    plain = layer(x)
    gradient = torch.randn_like(plain)
    wanted = torch.autograd.grad(plain, (x, layer.weight), gradient)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = layer(x)
    assert rounded.dtype == torch.bfloat16
    assert (kernel, stride, dilation) == (3, 1, 1) or "_Depthwise" in type(rounded.grad_fn).__name__
    got = torch.autograd.grad(rounded, (x, layer.weight), gradient.bfloat16())
    for ours, exact in zip(got, wanted, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - exact).abs().max() < 0.02 * exact.abs().max()  # eight bits, and sums of some hundred of them


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), GEOMETRIES[:6])
def test_in_32_bits_only_the_dilated_ones_learn_another_way(
    kernel: int, stride: int, padding: int, dilation: int
) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv2d(8, kernel, stride=stride, padding=padding, dilation=dilation)
    plain = nn.Conv2d(8, 8, kernel, stride, padding, dilation, groups=8, bias=False)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 8, 16, 16, requires_grad=True)
    out, wanted_out = layer(x), plain(x)
    assert torch.equal(out, wanted_out)
    assert ("_Depthwise" in type(out.grad_fn).__name__) == (dilation > 1)
    gradient = torch.randn_like(out)
    got = torch.autograd.grad(out, (x, layer.weight), gradient)
    wanted = torch.autograd.grad(wanted_out, (x, plain.weight), gradient)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_it_is_the_plain_layer_where_that_learns_fast_and_where_nothing_learns() -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv2d(4, 5, stride=2)
    plain = nn.Conv2d(4, 4, 5, stride=2, groups=4, bias=False)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(1, 4, 11, 12)
    assert torch.equal(layer(x), plain(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer.eval()(x), plain(x))
        with torch.no_grad():
            assert torch.equal(layer.train()(x), plain(x))
    dilated = DepthwiseConv2d(4, 3, dilation=2).eval()
    assert "_Depthwise" not in type(dilated(x).grad_fn).__name__
