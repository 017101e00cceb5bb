"""Weights made to fit another network: fewer filters and a smaller kernel, other pixels, more classes, finer strides."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pixelwise.errors import InputError
from pixelwise.labels import LabelSpec
from pixelwise.models.network import Network, Normalise
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig

FCN_STAGES = ("fcn32s", "fcn16s", "fcn8s")
"""Each is trained from the one before it. Source: FCN (PAMI 2017), section 4.3."""


BEGINNINGS: Mapping[str, tuple[str, str, str]] = {
    "deeplab_msc_largefov_vgg16": ("deeplab_largefov_vgg16", "decoder.branches.0.", "decoder.branches.5."),
    "gdn_fcn32s_vgg16": ("fcn32s_vgg16", "decoder.", "decoder.coarse."),
    "gdn_fc_fcn32s_vgg16": ("fcn32s_vgg16", "decoder.", "decoder.coarse."),
    "gdn_largefov_vgg16": ("deeplab_largefov_vgg16", "decoder.", "decoder.coarse."),
    "gdn_lite0": ("fcn32s_lite0", "decoder.", "decoder.coarse."),
}
"""Networks that add something to another one: which that is, and what its decoder's names begin with there and here.

Sources: DeepLab v1 (ICLR 2015), section 4.3, for MSc; Global Deconvolutional Networks (BMVC 2016), section 4.3.
"""


OTHER_HEADS = "decoder.others."
"""What the names of parameters of heads beside main begin with: their classes are among the network's options."""


def added_parameters(name: str, network: Network) -> frozenset[str]:
    """The names of the parameters that a network has beyond the one it begins from; none where it begins from none."""
    if name not in BEGINNINGS:
        return frozenset()
    shared = ("backbone.", BEGINNINGS[name][2])
    return frozenset(path for path, _ in network.named_parameters() if not path.startswith(shared))


def subsampled_classifier(
    classifier: Mapping[str, Tensor], channels: int, kernel: int, *, seed: int = 0
) -> dict[str, Tensor]:
    """fc6 and fc7 with fewer filters, and fc6 with a smaller kernel: how DeepLab's LargeFOV starts from VGG16.

    classifier  `fc6.weight` `(O, C, k, k)`, `fc7.weight` `(O, O, 1, 1)`, and their biases
    channels    how many filters of each are kept, chosen by chance, in their order
    kernel      the side of fc6's new kernel; its places are spread evenly over the old: 0, 3, 6 for 3 of 7

    Raises `InputError` where there is less to choose from than is wanted.

    Source: DeepLab v2 (PAMI 2018), section 4.1.1; which filters were kept is not said, so a `seed` decides.
    """
    weight = classifier["fc6.weight"]
    filters, side = weight.shape[0], weight.shape[-1]
    if classifier["fc7.weight"].shape[:2] != (filters, filters):
        raise InputError(
            f"fc7 should read and have {filters} filters, as fc6 has, got {tuple(classifier['fc7.weight'].shape)}"
        )
    if channels > filters or kernel > side:
        raise InputError(
            f"fc6 has {filters} filters of {side} x {side}, but {channels} of {kernel} x {kernel} are wanted: "
            f"take the weights of a larger network"
        )
    generator = torch.Generator().manual_seed(seed)
    kept6, kept7 = (torch.randperm(filters, generator=generator)[:channels].sort().values for _ in range(2))
    places = torch.linspace(0, side - 1, kernel).round().long()
    return {
        "fc6.weight": weight[kept6][:, :, places][:, :, :, places],
        "fc6.bias": classifier["fc6.bias"][kept6],
        "fc7.weight": classifier["fc7.weight"][kept7][:, kept6],
        "fc7.bias": classifier["fc7.bias"][kept7],
    }


def for_other_pixels(weight: Tensor, theirs: Normalise, ours: Normalise) -> tuple[Tensor, Tensor]:
    """A first convolution's weight `(O, C, k, k)` for images normalised by `ours`, and what to add to its output, `(O,)`.

    The weights were trained on images normalised by `theirs`. On the same raw pixels the convolution then gives the same
    numbers, but at the border, where padding means another colour.
    """
    scale, shift = (ours.std / theirs.std).flatten(), ((ours.mean - theirs.mean) / theirs.std).flatten()
    if theirs.bgr:
        weight = weight.flip(1)
    added = (weight.sum((2, 3)) * shift).sum(1)
    weight = weight * scale.view(1, -1, 1, 1)
    return (weight.flip(1) if ours.bgr else weight), added


def take_over(
    network: Network, config: NetworkConfig, label_spec: LabelSpec, checkpoint: Checkpoint, where: str
) -> str:
    """Start a network from a trained one of the same build, from one that it adds something to, as `BEGINNINGS` says, or
    an FCN from a coarser one on the same trunk.

    Classes correspond by name: the score layers' rows of classes that both know are copied, rows of new classes stay
    as they are, and so does what the network adds: the scores of a finer FCN at zero. Returns a sentence that says what was taken
    over. Raises `InputError` where the builds differ in anything else, or a layer mixes classes and their number differs.
    """
    theirs = checkpoint.config
    grown = config.name in BEGINNINGS and theirs.name == BEGINNINGS[config.name][0]
    same = theirs.name == config.name or _is_coarser(theirs.name, config.name)
    ours = {key: config.options[key] for key in config.options if key in theirs.options or not grown}
    if not (same or grown) or dict(theirs.options) != ours:
        raise InputError(
            f"{where}: is a {theirs.name} {dict(theirs.options) or ''}, but a {config.name} {dict(config.options) or ''} is to "
            f"be trained; choose the same network and options"
        )
    shared = [name for name in label_spec.names if name in checkpoint.label_spec.names]
    rows = [label_spec.names.index(name) for name in shared]
    their_rows = [checkpoint.label_spec.names.index(name) for name in shared]
    last = {id(parameter) for layer in network.last_layers for parameter in layer.parameters()}
    their_state = dict(checkpoint.network.state_dict())
    if grown:
        _, there, here = BEGINNINGS[config.name]
        their_state = {
            here + name.removeprefix(there) if name.startswith(there) else name: tensor
            for name, tensor in their_state.items()
        }
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) not in last and name in their_state and tensor.shape != their_state[name].shape:
            raise InputError(
                f"{where}: '{name}' mixes its {len(checkpoint.label_spec)} classes, so it cannot start a network of "
                f"{len(label_spec)}; train with the same classes, or without that part"
            )
    with torch.no_grad():
        for name, tensor in network.state_dict(keep_vars=True).items():
            if name not in their_state:
                assert grown or id(tensor) in last, name
            elif id(tensor) in last and not name.startswith(OTHER_HEADS):
                tensor[rows] = their_state[name][their_rows]
            else:
                tensor.copy_(their_state[name])
    new = [name for name in label_spec.names if name not in shared]
    kind = "" if theirs.name == config.name else f", a {theirs.name}" if grown else f", a coarser {theirs.name}"
    started = f"{where}{kind}"
    return f"{started} (classes taken over: {', '.join(shared) or 'none'}; new: {', '.join(new) or 'none'})"


def _is_coarser(theirs: str, ours: str) -> bool:
    """Whether both are FCNs on one trunk, and `theirs` is of an earlier stage."""
    (their_stage, _, their_trunk), (stage, _, trunk) = theirs.partition("_"), ours.partition("_")
    stages = {name: place for place, name in enumerate(FCN_STAGES)}
    return trunk == their_trunk and stages.get(their_stage, len(stages)) < stages.get(stage, -1)
