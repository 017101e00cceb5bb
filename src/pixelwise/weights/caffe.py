"""The layers of a Caffe file into a network: every layer is known, every parameter is covered, and the geometry is the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pixelwise.errors import InputError
from pixelwise.models.decoders.global_deconv import GlobalDeconvolution
from pixelwise.models.layers import BilinearUpsample, bilinear_kernel
from pixelwise.models.network import Network
from pixelwise.weights.caffemodel import CaffeLayer, Geometry
from pixelwise.weights.load import load_named
from pixelwise.weights.names import caffe_layers, known_as

_PARTS = {
    "Convolution": ("weight", "bias"),
    "Deconvolution": ("weight", "bias"),
    "InnerProduct": ("weight", "bias"),
    "Scale": ("weight", "bias"),
    "BN": ("weight", "bias"),
    "BatchNorm": ("running_mean", "running_var"),
    "Python": ("rows", "columns"),  # GDN's
}
"""What the arrays of each kind of layer are, in Caffe's order."""

_KINDS: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("Convolution",),
    nn.ConvTranspose2d: ("Deconvolution",),
    BilinearUpsample: ("Deconvolution",),
    nn.BatchNorm2d: ("BN", "BatchNorm", "Scale"),
    GlobalDeconvolution: ("Python",),
}
"""Our modules -> the kinds of layers whose arrays they take."""


_COPIES = ("_res075", "_res05")
"""Ends of the names of layers that a training at several scales shares. Source: DeepLab v2's released definitions."""


@dataclass(frozen=True)
class Taken:
    """What became of a file's layers.

    loaded   layer -> the path of our module
    dropped  layer -> why it is not needed
    notes    sentences that whoever uses the weights must know
    """

    loaded: Mapping[str, str]
    dropped: Mapping[str, str]
    notes: tuple[str, ...] = ()


def load_caffe(network: Network, layers: Sequence[CaffeLayer], where: str) -> Taken:
    """Give a network the weights of a whole released file for the same network.

    Raises `InputError` if a layer is unknown, missing or of another kind, if kernel, stride, padding, dilation or group
    differ where the file carries them, if an array has another shape, or if a kernel or factor that is fixed here has
    another value there; then nothing is copied.
    """
    table = caffe_layers(network)
    _refuse_classifier(layers, where)
    layers, dropped = _without_copies(layers, where)
    known = {layer.name: known_as(layer.name, table, where) for layer in layers}
    if missing := [name for name in table if name not in known.values()]:
        raise InputError(f"{where}: not the weights of this network: it lacks the layer '{missing[0]}'")
    loaded, parameters = dict[str, str](), dict[str, str]()
    state = caffe_state(layers, where)
    for layer in layers:
        path = table[known[layer.name]]
        assert path is not None
        here = f"{where}: layer '{layer.name}'"
        if ".factors." in path:
            dropped[layer.name] = _fixed_factor(layer, network, path, here)
            continue
        module = network.get_submodule(path)
        _refuse_difference(layer, module, here)
        if isinstance(module, BilinearUpsample):
            state[f"{layer.name}.weight"] = _one_kernel_a_class(layer, module, here)
            if not isinstance(module.weight, nn.Parameter):
                dropped[layer.name] = "a bilinear kernel, which is fixed here too"
                continue
        loaded[layer.name] = path
        parameters |= {f"{layer.name}.{part}": f"{path}.{part}" for part in module.state_dict()}
    kept = {name: tensor for name, tensor in state.items() if name.rpartition(".")[0] in loaded}
    load_named(network, kept, parameters, where)
    return Taken(loaded, dropped, _notes(layers))


def caffe_state(layers: Iterable[CaffeLayer], where: str) -> dict[str, Tensor]:
    """The arrays as parameters, `LAYER.weight` and so on, in PyTorch's shapes; fully connected weights stay `(O, I)`.

    DeconvNet's norms have no statistics of their own: they get those that change nothing. Raises `InputError` for a kind of
    layer that is not known to have weights, and for arrays that such a layer does not have.
    """
    state = dict[str, Tensor]()
    for layer in layers:
        if layer.kind not in _PARTS:
            raise InputError(f"{where}: layer '{layer.name}' has weights but is of no known kind, '{layer.kind}'")
        arrays = [torch.from_numpy(np.array(blob)) for blob in layer.blobs]
        sides = {"Convolution": 4, "Deconvolution": 4, "InnerProduct": 2, "Python": 2}.get(layer.kind, 1)
        if layer.kind == "BatchNorm" and len(arrays) == 3 and arrays[2].numel() == 1:
            *arrays, factor = arrays  # they are sums; a factor of 0 is that of a layer that saw nothing
            arrays = [array / factor if factor.any() else torch.zeros_like(array) for array in arrays]
        if len(arrays) > 2 or arrays[0].ndim < sides:
            shapes = ", ".join(str(blob.shape) for blob in layer.blobs)
            raise InputError(
                f"{where}: layer '{layer.name}' is no {layer.kind} as Caffe writes it: its arrays are {shapes}"
            )
        for part, array in zip(_PARTS[layer.kind], arrays, strict=False):
            if layer.kind == "Python":
                array = array.T.contiguous()  # GDN keeps its matrices the other way round
            elif part != "weight" or sides == 1:
                array = array.flatten()  # the old format gives every array four sides
            elif layer.kind == "InnerProduct":
                array = array.reshape(array.shape[-2:])
            state[f"{layer.name}.{part}"] = array
        if layer.kind == "BN":
            state[f"{layer.name}.running_mean"] = torch.zeros_like(state[f"{layer.name}.weight"])
            state[f"{layer.name}.running_var"] = torch.ones_like(state[f"{layer.name}.weight"])
    return state


def classes_in(network: Network, layers: Sequence[CaffeLayer], where: str) -> int:
    """How many classes a file scores: it is read off the first of its layers that give the scores of this network.

    Raises `InputError` for a layer that is not known, and where none gives scores.
    """
    _refuse_classifier(layers, where)
    table = caffe_layers(network)
    last = {id(layer) for layer in network.last_layers}
    for layer in _without_copies(layers, where)[0]:
        path = table[known_as(layer.name, table, where)]
        if path and ".factors." not in path and id(network.get_submodule(path)) in last:
            return layer.blobs[0].shape[0]
    raise InputError(f"{where}: no layer in it gives scores; expected the weights of a segmentation network")


def _without_copies(layers: Sequence[CaffeLayer], where: str) -> tuple[list[CaffeLayer], dict[str, str]]:
    """The layers without those that share their weights with one of them, and these: layer -> why it is not needed.

    Raises `InputError` for a copy without its original, or one that differs from it.
    """
    by_name = {layer.name: layer for layer in layers}
    kept, copies = list[CaffeLayer](), dict[str, str]()
    for layer in layers:
        end = next((end for end in _COPIES if layer.name.endswith(end)), None)
        if end is None:
            kept.append(layer)
            continue
        original = by_name.get(name := layer.name.removesuffix(end))
        if (
            original is None
            or len(original.blobs) != len(layer.blobs)
            or not all(map(np.array_equal, original.blobs, layer.blobs))
        ):
            raise InputError(
                f"{where}: layer '{layer.name}' should share its weights with '{name}', but "
                f"{'there is none' if original is None else 'it differs from it'}: train it further, or take another file"
            )
        copies[layer.name] = f"shares its weights with '{name}'"
    return kept, copies


def _refuse_classifier(layers: Iterable[CaffeLayer], where: str) -> None:
    """Raise `InputError` for a file that is a classifier as it was, fully connected."""
    if classifier := next((layer.name for layer in layers if layer.kind == "InnerProduct"), None):
        raise InputError(
            f"{where}: a classifier, for its '{classifier}' is fully connected: it cannot be imported whole; "
            f"add --init to write a network that a training can start from"
        )


def _refuse_difference(layer: CaffeLayer, module: nn.Module, here: str) -> None:
    """Raise `InputError` unless the layer is what the module is."""
    kinds = _KINDS[type(module)]
    if layer.kind not in kinds:
        raise InputError(f"{here} is of the kind '{layer.kind}', expected {' or '.join(kinds)}: another network's file")
    if layer.geometry is None:
        return
    if isinstance(module, BilinearUpsample):
        side, stride = module.weight.shape[-1], module.stride
        ours = Geometry((side, side), (stride, stride), group=layer.geometry.group)
    else:
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        ours = Geometry(
            module.kernel_size, module.stride, module.padding, module.dilation, module.groups  # type: ignore[arg-type]
        )  # fmt: skip
    for name, value in vars(ours).items():
        if (found := getattr(layer.geometry, name)) != value:
            raise InputError(
                f"{here} has {name} {found}, expected {value}: it is of another network, or of other options"
            )


def _one_kernel_a_class(layer: CaffeLayer, module: BilinearUpsample, here: str) -> Tensor:
    """The `(K, 1, k, k)` kernels on the diagonal of `(K, K, k, k)`; a file may hold them in that form, too.

    Raises `InputError` where classes are mixed, or where the kernels are not bilinear though ours are fixed.
    """
    weight, classes = torch.from_numpy(np.array(layer.blobs[0])), len(module.weight)
    full = (classes, classes, *module.weight.shape[2:])
    if len(layer.blobs) > 1 or weight.shape not in (full, module.weight.shape):
        raise InputError(f"{here} should be one array {full}, got {', '.join(str(blob.shape) for blob in layer.blobs)}")
    if weight.shape == full:
        diagonal = torch.eye(classes, dtype=torch.bool)
        if weight[~diagonal].any():
            raise InputError(f"{here} mixes classes while it enlarges; here each class is enlarged alone")
        weight = weight[diagonal][:, None]
    if not isinstance(module.weight, nn.Parameter):
        bilinear = bilinear_kernel(weight.shape[-1]).expand_as(weight)
        if not torch.allclose(weight, bilinear, rtol=0, atol=1e-6):
            raise InputError(f"{here} is no bilinear kernel: for learned ones give the option learned_upsampling=true")
    return weight


def _fixed_factor(layer: CaffeLayer, network: Network, path: str, here: str) -> str:
    """Why a layer that multiplies by one fixed number is not needed; `InputError` if the number is another one here."""
    decoder, _, step = path.partition(".factors.")
    factor = network.get_submodule(decoder).factors[int(step)]  # type: ignore[index]
    if layer.kind != "Scale" or not np.allclose(layer.blobs[0], factor, rtol=1e-5, atol=0):
        raise InputError(f"{here} should multiply by {factor}, but does not: it is of another network")
    return f"the factor {factor}, which is fixed here too"


def _notes(layers: Iterable[CaffeLayer]) -> tuple[str, ...]:
    if not any(layer.kind == "BN" and layer.folded is False for layer in layers):
        return ()
    return (
        "the file's batch norms are as they trained, without statistics: estimate these on training images "
        "(pixelwise.models.folding.reestimate_statistics) before predicting",
    )
