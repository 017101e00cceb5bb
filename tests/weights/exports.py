"""Our networks as Caffe files would hold them: the way back of what is tested."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from tests.weights.caffe_files import Layer, write_files
from torch import nn

from pixelwise.models.decoders.global_deconv import GlobalDeconvolution
from pixelwise.models.layers import BilinearUpsample
from pixelwise.models.network import Network
from pixelwise.models.published import create_model
from pixelwise.weights.caffemodel import CaffeLayer, Geometry
from pixelwise.weights.names import caffe_layers

NARROW = {"width": 1 / 16}
CLASSES = 3

Layers = dict[str, CaffeLayer]


def build(name: str, seed: int = 0, *, classes: int = CLASSES, **options: object) -> Network:
    """A narrow network in which everything is random, norms and their statistics too."""
    torch.manual_seed(seed)
    network = create_model(name, classes, **NARROW, **options).eval()
    with torch.no_grad():
        for part, tensor in network.state_dict().items():
            if tensor.is_floating_point() and ".enlarge." not in part:
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return network


def as_layers(network: Network) -> Layers:
    """The network as a file would hold it, by layer: the way back of what is tested."""
    layers = Layers()
    for pattern, path in caffe_layers(network).items():
        name = pattern.replace("*", "voc12")
        assert path is not None
        if ".factors." in path:
            factor = network.decoder.factors[int(path[-1])]  # type: ignore[union-attr, index]
            layers[name] = CaffeLayer(name, "Scale", (np.full(7, factor, np.float32),))
        else:
            layers[name] = as_layer(name, network.get_submodule(path))
    return layers


def as_layer(name: str, module: nn.Module) -> CaffeLayer:
    if isinstance(module, BilinearUpsample):
        classes, _, side, _ = module.weight.shape
        full = torch.zeros(classes, classes, side, side)
        full[range(classes), range(classes)] = module.weight[:, 0].detach()
        return CaffeLayer(name, "Deconvolution", (full.numpy(),), Geometry((side, side), (module.stride,) * 2))
    if isinstance(module, GlobalDeconvolution):
        return CaffeLayer(name, "Python", tuple(matrix.detach().numpy().T for matrix in (module.rows, module.columns)))
    parts = {part: tensor.detach().numpy() for part, tensor in module.state_dict().items()}
    if isinstance(module, nn.BatchNorm2d):
        if name.startswith("scale"):
            return CaffeLayer(name, "Scale", (parts["weight"], parts["bias"]))
        if module.eps == 1e-9:  # DeconvNet's: the statistics are folded
            scale = parts["weight"] / np.sqrt(parts["running_var"] + module.eps)
            shift = parts["bias"] - scale * parts["running_mean"]
            return CaffeLayer(name, "BN", tuple(part.reshape(1, -1, 1, 1) for part in (scale, shift)), folded=True)
        sums = tuple(4 * parts[part] for part in ("running_mean", "running_var"))
        return CaffeLayer(name, "BatchNorm", (*sums, np.array([4], np.float32)))
    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    kind = "Convolution" if isinstance(module, nn.Conv2d) else "Deconvolution"
    geometry = Geometry(module.kernel_size, module.stride, module.padding, module.dilation, module.groups)  # type: ignore[arg-type]
    return CaffeLayer(name, kind, tuple(parts[part] for part in ("weight", "bias") if part in parts), geometry)


def write_caffemodel(layers: Iterable[CaffeLayer], folder: Path) -> Path:
    """The layers in a `.caffemodel`, whose writer knows nothing of the library."""
    written = []
    for layer in layers:
        settings: dict[str, int] = {}
        if layer.geometry is not None:
            sides = {"kernel_size": "kernel", "stride": "stride", "pad": "padding", "dilation": "dilation"}
            settings = {name: getattr(layer.geometry, ours)[0] for name, ours in sides.items()}
            settings["group"] = layer.geometry.group
        written.append(Layer(layer.name, layer.kind, (), (), dict(settings), layer.blobs))
    folder.mkdir(exist_ok=True)
    return write_files(written, folder, (8, 8))[1]
