"""FCN and DeconvNet as Caffe layers, with random weights, and the way in which such networks are written down.

This is the other side of the parity tests, so it shares nothing with the library: layers, kernels, pads, dilations,
crop offsets and mean pixels are typed in as the releases list them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tests.weights.caffe_files import Layer, Setting

FCN_MEAN = (104.00699, 116.66877, 122.67892)  # Source: FCN's voc_layers.py
DECONVNET_MEAN = (104.00698793, 116.66876762, 122.67891434)  # Source: DeconvNet's inference scripts
"""Mean pixels, blue first."""


class Definition:
    """A network while it is written down, layer by layer. A layer reads what the last one made, unless told otherwise.

    mean   what is taken from an image before the network sees it, blue first
    width  scales every channel count but the number of classes
    """

    def __init__(self, classes: int, mean: tuple[float, ...], *, width: float = 1.0, seed: int = 0) -> None:
        self.classes = classes
        self.mean = mean
        self.width = width
        self.random = np.random.default_rng(seed)
        self.layers: list[Layer] = []
        self.channels = {"data": 3}
        self.last = "data"

    def add(
        self,
        kind: str,
        name: str,
        *bottoms: str,
        tops: Sequence[str] = (),
        blobs: Sequence[NDArray[np.float32]] = (),
        channels: int | None = None,
        **settings: Setting,
    ) -> str:
        """Append a layer. It makes a blob of its own name, as wide as what it reads, unless told otherwise."""
        bottoms = bottoms or (self.last,)
        tops = tuple(tops) or (name,)
        self.layers.append(Layer(name, kind, bottoms, tops, settings, tuple(blobs)))
        self.channels[tops[0]] = self.channels[bottoms[0]] if channels is None else channels
        self.last = tops[0]
        return self.last

    def linear(
        self, kind: str, name: str, channels: int, kernel: int, *bottoms: str, bias: bool = True, **settings: Setting
    ) -> str:
        """A convolution or deconvolution with random weights that keep the signal's size, and its variety.

        The weights behind a convolution's channel sum to zero. Behind a ReLU everything is positive, and what all places
        have in common would drown, layer upon layer, what they have not. Deconvolutions do not need that: an unpooling
        leaves three of four cells empty.
        """
        incoming, group = self.channels[(bottoms or (self.last,))[0]], int(settings.get("group", 1))
        if kind == "Convolution":
            weights = self.random.standard_normal((channels, incoming // group, kernel, kernel), np.float32)
            weights -= weights.mean((1, 2, 3), keepdims=True)
            variance = 3.0  # a ReLU keeps about a third, once the mean is gone
        else:
            weights = self.random.standard_normal((incoming, channels, kernel, kernel), np.float32)
            variance = 2.3
        weights *= np.float32(np.sqrt(variance * group / (incoming * kernel**2)))
        biases = [5 * self.random.standard_normal(channels, np.float32)] if bias else []  # pixels are some tens
        return self.add(
            kind, name, *bottoms, blobs=(weights, *biases), channels=channels,
            num_output=channels, kernel_size=kernel, bias_term=bias, **settings,
        )  # fmt: skip

    def relu(self, name: str) -> str:
        """A ReLU in place behind the layer `name`."""
        return self.add("ReLU", f"relu{name.removeprefix('conv').removeprefix('fc')}", tops=(self.last,))

    def convolution(self, name: str, channels: int, kernel: int, *bottoms: str, **settings: Setting) -> str:
        """A convolution and its ReLU."""
        self.linear("Convolution", name, round(channels * self.width), kernel, *bottoms, **settings)
        return self.relu(name)

    def dropout(self, name: str) -> str:
        """A dropout in place: nothing, when a network is run."""
        return self.add("Dropout", name, tops=(self.last,), dropout_ratio=0.5)

    def score(self, name: str, *bottoms: str) -> str:
        """The scores of the classes: a 1x1 convolution without a ReLU."""
        return self.linear("Convolution", name, self.classes, 1, *bottoms)

    def pool(self, name: str, kernel: int = 2, stride: int = 2, pad: int = 0, kind: str = "MAX") -> str:
        """A pooling; Caffe rounds its size up."""
        return self.add("Pooling", name, pool=kind, kernel_size=kernel, stride=stride, pad=pad)

    def upscore(self, name: str, kernel: int, stride: int) -> str:
        """Bilinear enlargement: a kernel for every pair of classes, zero for two that differ."""
        factor = (kernel + 1) // 2
        centre = factor - 1 if kernel % 2 else factor - 0.5
        line = [1 - abs(place - centre) / factor for place in range(kernel)]
        weights = np.zeros((self.classes, self.classes, kernel, kernel), np.float32)
        weights[range(self.classes), range(self.classes)] = np.outer(line, line)
        return self.add(
            "Deconvolution", name, blobs=(weights,),
            num_output=self.classes, bias_term=False, kernel_size=kernel, stride=stride,
        )  # fmt: skip

    def crop(self, name: str, bottom: str, like: str, offset: int) -> str:
        """Cut rows and columns to as many as `like` has, from `offset` on."""
        return self.add("Crop", name, bottom, like, axis=2, offset=offset)


# FCN. Source: net.py of the release's voc-fcn{32,16,8}s, voc-fcn8s-atonce and voc-fcn-alexnet. The scores are `score`.


def fcn_vgg16(classes: int, *, stride: int, at_once: bool = False, width: float = 1.0, seed: int = 0) -> Definition:
    """FCN-32s, 16s, 8s, and the 8s that is trained at once."""
    net = Definition(classes, FCN_MEAN, width=width, seed=seed)
    vgg16(net, pools=[(2, 2, 0)] * 5, first_pad=100)
    _classifier(net, kernel=7)
    net.score("score_fr")
    if stride == 32:
        net.upscore("upscore", 64, 32)
        net.crop("score", "upscore", "data", 19)
        return net
    net.upscore("upscore2", 4, 2)
    _skip(net, "pool4", "upscore2", 5, factor=0.01 if at_once else None)
    if stride == 16:
        net.upscore("upscore16", 32, 16)
        net.crop("score", "upscore16", "data", 27)
        return net
    net.upscore("upscore_pool4", 4, 2)
    _skip(net, "pool3", "upscore_pool4", 9, factor=0.0001 if at_once else None)
    net.upscore("upscore8", 16, 8)
    net.crop("score", "upscore8", "data", 31)
    return net


def _skip(net: Definition, pool: str, enlarged: str, offset: int, factor: float | None) -> None:
    source = pool
    if factor is not None:
        source = net.add("Scale", f"scale_{pool}", pool, blobs=[np.full(net.channels[pool], factor, np.float32)])
    net.score(f"score_{pool}", source)
    if factor is not None:  # weights that bring so small a signal back, so that the scores depend on it
        weights = net.layers[-1].blobs[0]
        weights /= np.float32(factor)
    net.crop(f"score_{pool}c", f"score_{pool}", enlarged, offset)
    net.add("Eltwise", f"fuse_{pool}", enlarged, f"score_{pool}c", operation="SUM")


def fcn_alexnet(classes: int, *, width: float = 1.0, seed: int = 0) -> Definition:
    """FCN-AlexNet: CaffeNet, which normalises behind its pools."""
    net = Definition(classes, FCN_MEAN, width=width, seed=seed)
    net.convolution("conv1", 96, 11, stride=4, pad=100)
    net.pool("pool1", 3, 2)
    net.add("LRN", "norm1", local_size=5, alpha=1e-4, beta=0.75)
    net.convolution("conv2", 256, 5, pad=2, group=2)
    net.pool("pool2", 3, 2)
    net.add("LRN", "norm2", local_size=5, alpha=1e-4, beta=0.75)
    net.convolution("conv3", 384, 3, pad=1)
    net.convolution("conv4", 384, 3, pad=1, group=2)
    net.convolution("conv5", 256, 3, pad=1, group=2)
    net.pool("pool5", 3, 2)
    _classifier(net, kernel=6)
    net.score("score_fr")
    net.upscore("upscore", 63, 32)
    net.crop("score", "upscore", "data", 18)
    return net


# DeconvNet. Source: the release's DeconvNet_inference_deploy.prototxt. The scores are `seg-score-voc`.


def deconvnet(classes: int, *, batch_norm: bool = True, width: float = 1.0, seed: int = 0) -> Definition:
    """DeconvNet, with its batch norms as its inference file has them, or without."""
    net = Definition(classes, DECONVNET_MEAN, width=width, seed=seed)

    def layer(kind: str, name: str, channels: int, kernel: int, norm: str, pad: int = 0) -> None:
        channels = round(channels * width)
        net.linear(kind, name, channels, kernel, pad=pad)
        if batch_norm:
            scale = net.random.uniform(0.7, 1.3, (1, channels, 1, 1)).astype(np.float32)
            shift = 5 * net.random.standard_normal((1, channels, 1, 1), np.float32)
            net.add("BN", norm, tops=(net.last,), blobs=(scale, shift))
        net.relu(name)

    for stage, (convolutions, channels) in enumerate(_VGG16, start=1):
        for number in range(1, convolutions + 1):
            layer("Convolution", f"conv{stage}_{number}", channels, 3, f"bn{stage}_{number}", pad=1)
        tops = (f"pool{stage}", f"pool{stage}_mask")
        net.add("Pooling", f"pool{stage}", tops=tops, pool="MAX", kernel_size=2, stride=2)
    layer("Convolution", "fc6", 4096, 7, "bnfc6")
    layer("Convolution", "fc7", 4096, 1, "bnfc7")
    layer("Deconvolution", "fc6-deconv", 512, 7, "fc6-deconv-bn")
    for stage, widths in (
        (5, (512, 512, 512)),
        (4, (512, 512, 256)),
        (3, (256, 256, 128)),
        (2, (128, 64)),
        (1, (64, 64)),
    ):
        net.add("Unpooling", f"unpool{stage}", net.last, f"pool{stage}_mask", kernel_size=2, stride=2)
        for number, channels in enumerate(widths, start=1):
            layer("Deconvolution", f"deconv{stage}_{number}", channels, 3, f"debn{stage}_{number}", pad=1)
    net.score("seg-score-voc")
    return net


# What several of them share.

_VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def vgg16(
    net: Definition, pools: Sequence[tuple[int, int, int]], *, first_pad: int = 1, last_dilation: int = 1
) -> None:
    """The convolutions of VGG16, and its pools: kernel, stride and pad of each."""
    for stage, ((convolutions, channels), pool) in enumerate(zip(_VGG16, pools, strict=True), start=1):
        dilation = last_dilation if stage == len(_VGG16) else 1
        for number in range(1, convolutions + 1):
            pad = first_pad if stage == number == 1 else dilation
            net.convolution(f"conv{stage}_{number}", channels, 3, pad=pad, dilation=dilation)
        net.pool(f"pool{stage}", *pool)


def _classifier(net: Definition, kernel: int) -> None:
    net.convolution("fc6", 4096, kernel)
    net.dropout("drop6")
    net.convolution("fc7", 4096, 1)
    net.dropout("drop7")
