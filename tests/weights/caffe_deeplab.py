"""DeepLab's networks as Caffe layers, with random weights; numbers are typed in from the releases, as in `caffe_networks`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tests.weights.caffe_networks import Definition, vgg16

MEAN = (104.008, 116.669, 122.675)  # Source: train.prototxt of v1 and v2
"""The mean pixel, blue first."""

POOLS = [(3, 2, 1), (3, 2, 1), (3, 2, 1), (3, 1, 1), (3, 1, 1)]  # Source: all definitions but that of the base network


def base(classes: int, *, width: float = 1.0, seed: int = 0) -> Definition:
    """DeepLab of v1, as it is trained: the scores `fc8_pascal` are coarse. Source: config/DeepLab/train.prototxt."""
    net = Definition(classes, MEAN, width=width, seed=seed)
    vgg16(net, pools=[(2, 2, 1), (2, 2, 1), (2, 2, 1), (2, 1, 0), (3, 1, 1)], last_dilation=2)
    net.score("fc8_pascal", _field_of_view(net, "pool5", 4096, 4, pad=6, dilation=4))
    return net


def largefov(classes: int, *, width: float = 1.0, seed: int = 0) -> Definition:
    """LargeFOV of v1, as it is tested: `fc8_voc12` is coarse, `fc8_interp` enlarged. Source: config/DeepLab-LargeFOV."""
    net = Definition(classes, MEAN, width=width, seed=seed)
    vgg16(net, pools=POOLS, last_dilation=2)
    net.pool("pool5a", 3, 1, 1, kind="AVE")
    net.score("fc8_voc12", _field_of_view(net, "pool5a", 1024, 3, pad=12, dilation=12))
    net.add("Interp", "fc8_interp", zoom_factor=8)
    return net


def msc_largefov(classes: int, *, tested: bool = False, width: float = 1.0, seed: int = 0) -> Definition:
    """LargeFOV with branches on the image and the pools, summed as `fc_fusion`. Source: config/DeepLab-MSc-LargeFOV.

    While it is trained, strides bring the branches to the coarse size. While it is `tested` they keep their size, and
    all is enlarged to the image's size before the sum. The weights are the same.
    """
    net = Definition(classes, MEAN, width=width, seed=seed)
    vgg16(net, pools=POOLS, last_dilation=2)
    net.pool("pool5a", 3, 1, 1, kind="AVE")
    scores = [net.score("fc8_voc12", _field_of_view(net, "pool5a", 1024, 3, pad=12, dilation=12))]
    sources = (("data", 8), ("pool1", 4), ("pool2", 2), ("pool3", 1), ("pool4", 1))
    for source, stride in sources:
        net.convolution(f"{source}_conv", 128, 3, source, pad=1, stride=1 if tested else stride)
        net.dropout(f"drop_{source}_conv")
        net.convolution(f"{source}_fc", 128, 1)
        net.dropout(f"drop_{source}_fc")
        scores.append(net.score(f"{source}_ms"))
    if tested:
        zooms = (8, *(8 // stride for _, stride in sources))
        scores = [
            net.add("Interp", f"{name}_interp", name, zoom_factor=zoom) if zoom > 1 else name
            for name, zoom in zip(scores, zooms, strict=True)
        ]
    net.add("Eltwise", "fc_fusion", *scores, operation="SUM")
    return net


def aspp(classes: int, *, rates: Sequence[int], width: float = 1.0, seed: int = 0) -> Definition:
    """ASPP of v2 on VGG16: a branch for each rate, no average pool. Blobs are called as in `largefov`."""
    net = Definition(classes, MEAN, width=width, seed=seed)
    vgg16(net, pools=POOLS, last_dilation=2)
    scores = [
        net.score(f"fc8_voc12_{number}", _field_of_view(net, "pool5", 1024, 3, f"_{number}", pad=rate, dilation=rate))
        for number, rate in enumerate(rates, start=1)
    ]
    net.add("Eltwise", "fc8_voc12", *scores, operation="SUM")
    net.add("Interp", "fc8_interp", zoom_factor=8)
    return net


def _field_of_view(
    net: Definition, bottom: str, channels: int, kernel: int, branch: str = "", *, pad: int, dilation: int
) -> str:
    net.convolution(f"fc6{branch}", channels, kernel, bottom, pad=pad, dilation=dilation)
    net.dropout(f"drop6{branch}")
    net.convolution(f"fc7{branch}", channels, 1)
    return net.dropout(f"drop7{branch}")


def aspp_resnet101(classes: int, *, width: float = 1.0, seed: int = 0) -> Definition:
    """ASPP of v2 on ResNet-101: the scores `fc1_voc12` are coarse. Source: the deploy.prototxt of v2."""
    net = Definition(classes, MEAN, width=width, seed=seed)
    net.linear("Convolution", "conv1", round(64 * width), 7, stride=2, pad=3, bias=False)
    _norm(net, "_conv1")
    net.relu("conv1")
    net.pool("pool1", 3, 2, 1)
    for stage, blocks, channels, stride, dilation in (
        (2, ("a", "b", "c"), 64, 1, 1),
        (3, ("a", "b1", "b2", "b3"), 128, 2, 1),
        (4, ("a", *(f"b{number}" for number in range(1, 23))), 256, 1, 2),
        (5, ("a", "b", "c"), 512, 1, 4),
    ):
        for block in blocks:
            _bottleneck(net, f"{stage}{block}", round(channels * width), stride if block == "a" else 1, dilation)
    last = net.last
    scores = [
        net.linear("Convolution", f"fc1_voc12_c{number}", classes, 3, last, pad=rate, dilation=rate)
        for number, rate in enumerate((6, 12, 18, 24))
    ]
    net.add("Eltwise", "fc1_voc12", *scores, operation="SUM")
    return net


def _bottleneck(net: Definition, block: str, channels: int, stride: int, dilation: int) -> None:
    source = shortcut = net.last

    def convolution(branch: str, channels: int, kernel: int, *bottoms: str, gain: float = 1.0, **settings: int) -> str:
        net.linear("Convolution", f"res{block}_branch{branch}", channels, kernel, *bottoms, bias=False, **settings)
        return _norm(net, f"{block}_branch{branch}", gain)

    if block.endswith("a"):
        shortcut = convolution("1", 4 * channels, 1, source, stride=stride)
    convolution("2a", channels, 1, source, stride=stride)
    net.relu(f"{block}_branch2a")
    convolution("2b", channels, 3, pad=dilation, dilation=dilation)
    net.relu(f"{block}_branch2b")
    convolution("2c", 4 * channels, 1, gain=0.15)  # each of 33 blocks adds its own to what passes by
    net.add("Eltwise", f"res{block}", shortcut, net.last)
    net.relu(block)


def _norm(net: Definition, name: str, gain: float = 1.0) -> str:
    """A batch norm in place, in two layers. The first holds sums of means and variances, and what to divide these by."""
    channels, count = net.channels[net.last], np.float32(999.98)
    mean = 5 * net.random.standard_normal(channels, np.float32)
    variance = net.random.uniform(0.7, 1.3, channels).astype(np.float32)
    statistics = (count * mean, count * variance, np.array([count]))
    net.add("BatchNorm", f"bn{name}", tops=(net.last,), blobs=statistics, use_global_stats=True)
    scale = gain * net.random.uniform(0.7, 1.3, channels).astype(np.float32)
    shift = 5 * net.random.standard_normal(channels, np.float32)
    return net.add("Scale", f"scale{name}", tops=(net.last,), blobs=(scale, shift), bias_term=True)
