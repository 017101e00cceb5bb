"""A training in, the model that it starts from out: an earlier training's, one that is given, or one made of a trunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from safetensors.torch import save_file
from torch import Tensor, nn

from pixelwise.analysis.reproduction import RUNS, Training
from pixelwise.data.dataset import DataSet
from pixelwise.errors import InputError
from pixelwise.files import written_beside
from pixelwise.geometry import Box, crop
from pixelwise.inference.proposal_wise import SIDE
from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite
from pixelwise.models.backbones.vgg import VGG
from pixelwise.models.network import Network
from pixelwise.training.recipe import Recipe
from pixelwise.weights.checkpoint import NetworkConfig, find_checkpoint, load_checkpoint, save_checkpoint
from pixelwise.weights.imagenet import lite_file
from pixelwise.weights.importing import import_classifier
from pixelwise.weights.names import caffe_trunk_layers, classifier_pairs

STARTS = "starts"
"""Where a reproduction's folder holds the models that it made of HED's weights, or of an earlier training's trunk."""

SETTLED_BY = 24
"""So many images say what a trunk's norms see first."""


def start_of(training: Training, folder: Path, given: Path | None, hed: Path | None) -> Path | None:
    """The model that a training in a reproduction's `folder` starts from; None for random weights, and an extra's.

    given  a folder of models to start from, one a folder
    hed    HED's weights: trunks of VGG16 then start from a model in `starts/`, which `made_of_trunk` makes

    Raises `InputError` where there is nothing to start from, or the extra is missing.
    """
    if training.after is not None:
        return folder / RUNS / training.after / "model"
    if training.trunk is not None:
        return folder / STARTS / training.name
    recipe = training.recipes()[0]
    if recipe.init == "none":
        return None
    config = NetworkConfig(recipe.network, 1, recipe.options)
    with torch.device("meta"):
        trunk = config.build().backbone
    if isinstance(trunk, EfficientNetLite):
        lite_file(trunk.lite)
        return None
    if hed is not None and isinstance(trunk, VGG):
        return folder / STARTS / training.name
    found = None if given is None else find_checkpoint(given, config)
    if found is None:
        raise InputError(_no_start(recipe, given))
    return found


def made_of_trunk(file: Path, recipe: Recipe, data: DataSet, to: Path) -> None:
    """Write the model `to` that a recipe starts from: a file's trunk, whose norms change nothing yet; all else is new.

    `file` is HED's, or one that `save_trunk` wrote. Raises `InputError` for one that is neither.
    """
    set_seed(recipe.seed)
    spec = (data if recipe.classes is None else data.with_classes(recipe.classes)).label_spec
    checkpoint = import_classifier(file, recipe.network, spec, recipe.options).checkpoint
    settle_norms(checkpoint.network, _middles(data, checkpoint.network))
    save_checkpoint(to, checkpoint)


def save_trunk(model: Path, to: Path) -> None:
    """Write the trunk of a trained model, with its fc6 and fc7, as a file of weights in the names of HED's and Caffe's."""
    network = load_checkpoint(model).network
    layers = {theirs: f"backbone.{ours}" for theirs, ours in caffe_trunk_layers(network.backbone).items()}
    for pair in classifier_pairs(network):
        layers |= zip(("fc6", "fc7"), pair, strict=True)
    state = {
        f"{theirs}.{part}": tensor.contiguous()
        for theirs, ours in layers.items()
        for part, tensor in network.get_submodule(ours).state_dict().items()
    }
    with written_beside(to) as beside:
        save_file(state, beside)


def settle_norms(network: Network, images: Tensor) -> None:
    """Let the norms of a trunk change nothing: each gets the statistics of what it sees, and their inverse as its own.

    The weights of VGG16 were learned without norms. Behind new ones they would no longer see what they know: half of all
    values would be above 0, where it was a third. `images` are `(N, C, H, W)`, as the network takes them.

    Source: ours; the released DeconvNet begins with scales of 1.
    """

    def settle(norm: nn.BatchNorm2d, seen: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(seen[0], dim=(0, 2, 3))
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)

    norms = [module for module in network.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    hooks = [norm.register_forward_pre_hook(settle) for norm in norms]
    try:
        with torch.no_grad():
            network.backbone.eval()(network.normalise(images))
    finally:
        for hook in hooks:
            hook.remove()


def _middles(data: DataSet, network: Network) -> Tensor:
    """The middles of some images that lie evenly in a data set, as wide as DeconvNet's windows."""
    images, side = [], SIDE
    for place in np.linspace(0, len(data) - 1, min(SETTLED_BY, len(data))).astype(int):
        image = data[int(place)].image.astype(np.float32)
        y0, x0 = ((have - side) // 2 for have in image.shape[:2])
        images.append(crop(image, Box(y0, x0, y0 + side, x0 + side), network.fill))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _no_start(recipe: Recipe, start: Path | None) -> str:
    options = "".join(f" {key}={str(value).replace(' ', '').lower()}" for key, value in recipe.options.items())
    lacks = "no --start was given" if start is None else f"{start} has none"
    return (
        f"{recipe.network}{options} starts from an ImageNet classifier, and {lacks}: make one by  pixelwise import-weights "
        f"FILE{options} --to {recipe.network} --init --classes voc --out STARTS/{recipe.network}  and give --start STARTS, "
        f"or begin with --small"
    )
