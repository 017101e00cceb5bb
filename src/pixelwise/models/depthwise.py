"""Depthwise convolution that learns fast on CPUs.

PyTorch's CPU library computes the gradients of some depthwise convolutions ten to fifty times slower than the
convolution itself: in bf16 all but those of 3x3 kernels without stride and dilation, in 32 bits the dilated ones. More
than a third of the time in which an EfficientNet learns in bf16 goes there, and a sixth of that in 32 bits
(docs/results/training.md). The same gradients are sums of what it is fast at:

* the weights' gradient of a large kernel is put together from 3x3 windows of it; strided and dilated kernels are
  plain ones on every second row and column (the "phases") of the input or of the output;
* the input's gradient is a convolution, with the kernel turned around, of the gradient with zeros in between.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

LARGEST = 3  # sides of a kernel whose plain weight gradient is fast


class DepthwiseConv2d(nn.Conv2d):
    """A filter for each channel: `(N, C, H, W)` -> `(N, C, ...)`, as `nn.Conv2d` with as many groups as channels.

    The numbers and the names of parameters are `nn.Conv2d`'s; only where PyTorch's own gradients are slow on a CPU are
    they computed in another order. Kernel, stride, padding and dilation are the same along both sides; there is no bias.
    """

    def __init__(self, channels: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> None:
        super().__init__(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, H, W)` -> `(N, C, H', W')`."""
        if self._is_slow_to_learn(x):
            dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
            return _Depthwise.apply(x.to(dtype), self.weight.to(dtype), *self._geometry)
        return super().forward(x)

    @property
    def _geometry(self) -> tuple[int, int, int]:
        return self.stride[0], int(self.padding[0]), self.dilation[0]

    def _is_slow_to_learn(self, x: Tensor) -> bool:
        if not (self.training and torch.is_grad_enabled() and x.device.type == "cpu"):
            return False
        in_bf16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        return self.dilation[0] > 1 or (in_bf16 and (self.kernel_size[0] > LARGEST or self.stride[0] > 1))


class _Depthwise(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding, dilation
        return functional.conv2d(x, weight, None, stride, padding, dilation, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        for_x = input_gradient(gradient, weight, x.shape[-2:], *ctx.geometry) if wants_x else None
        for_weight = weight_gradient(gradient, x, weight.shape[-1], *ctx.geometry) if wants_weight else None
        return for_x, for_weight, None, None, None


def input_gradient(
    gradient: Tensor, weight: Tensor, size: torch.Size, stride: int, padding: int, dilation: int
) -> Tensor:
    """Of a depthwise convolution's input of `size` `(H, W)`, from its output's `gradient` and its weight `(C, 1, k, k)`."""
    reach = dilation * (weight.shape[-1] - 1)
    if stride > 1:  # one for every place that a window without stride would have
        places = [side + 2 * padding - reach for side in size]
        spread = gradient.new_zeros((*gradient.shape[:2], *places)).contiguous(memory_format=torch.channels_last)
        spread[:, :, ::stride, ::stride] = gradient
        gradient = spread
    return functional.conv2d(gradient, weight.flip(2, 3), None, 1, reach - padding, dilation, len(weight))


def weight_gradient(gradient: Tensor, x: Tensor, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Of a depthwise convolution's weight, `(C, 1, k, k)`, from its output's `gradient` and its input `x`."""
    if kernel <= LARGEST and dilation == 1:
        return _native(gradient, x, kernel, stride, padding)
    x = functional.pad(x, (padding,) * 4)
    if dilation > 1:
        assert stride == 1, "strided and dilated at once: not needed by any trunk"
        height, width = (-(-side // dilation) for side in gradient.shape[-2:])
        phases = [(row, column) for row in range(dilation) for column in range(dilation)]
        gradients = [_fitted(gradient[:, :, r::dilation, c::dilation], height, width) for r, c in phases]
        inputs = [
            _fitted(x[:, :, r::dilation, c::dilation], height + kernel - 1, width + kernel - 1) for r, c in phases
        ]
        return _plain(torch.cat(gradients), torch.cat(inputs), kernel)
    if stride == 1:
        return _plain(gradient, x, kernel)
    whole = gradient.new_empty((x.shape[1], 1, kernel, kernel))
    for row in range(stride):
        for column in range(stride):
            place = whole[:, :, row::stride, column::stride]
            side = max(place.shape[-2:])
            height, width = (length + side - 1 for length in gradient.shape[-2:])
            part = _plain(gradient, _fitted(x[:, :, row::stride, column::stride], height, width), side)
            place.copy_(part[:, :, : place.shape[2], : place.shape[3]])
    return whole


def _plain(gradient: Tensor, x: Tensor, kernel: int) -> Tensor:
    """Without stride, padding and dilation: from windows of at most 3x3, which may overlap."""
    if kernel <= LARGEST:
        return _native(gradient, x, kernel, 1, 0)
    height, width = gradient.shape[-2:]
    whole = gradient.new_empty((x.shape[1], 1, kernel, kernel))
    starts = [min(start, kernel - LARGEST) for start in range(0, kernel, LARGEST)]
    for row in starts:
        for column in starts:
            shifted = x[:, :, row : row + height + LARGEST - 1, column : column + width + LARGEST - 1]
            part = _native(gradient, shifted, LARGEST, 1, 0)
            whole[:, :, row : row + LARGEST, column : column + LARGEST] = part
    return whole


def _native(gradient: Tensor, x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    gradient, x = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (gradient, x))
    channels = x.shape[1]
    shape = (channels, 1, kernel, kernel)
    gradients = torch.ops.aten.convolution_backward(
        gradient, x, gradient.new_empty(shape), None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], channels,
        [False, True, False],
    )  # fmt: skip
    result: Tensor = gradients[1]
    return result


def _fitted(x: Tensor, height: int, width: int) -> Tensor:
    """Cut, or filled up with zeros, at the end of both sides."""
    x = x[:, :, :height, :width]
    return functional.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]))
