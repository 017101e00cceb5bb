"""Name tables: what other people call the layers and parameters that we have.

A table is made by walking our modules in order, not by listing strings; None as our name means: known, and not needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from torch import nn

from pixelwise.errors import InputError, unknown_name
from pixelwise.models.backbones.alexnet import AlexNet
from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite, InvertedBottleneck
from pixelwise.models.backbones.googlenet import GoogLeNet
from pixelwise.models.backbones.resnet import Bottleneck, ResNet
from pixelwise.models.backbones.vgg import VGG
from pixelwise.models.decoders.atrous import AtrousDecoder
from pixelwise.models.decoders.deconvnet import DeconvDecoder
from pixelwise.models.decoders.global_deconv import FullyConnectedScores, GlobalDeconvolution, LabelledScores
from pixelwise.models.decoders.skip import SkipDecoder
from pixelwise.models.network import Network

Layers = dict[str, str | None]
"""Foreign layer -> the path of our module, or None. A `*` stands for any letters, where a release puts a data set's name."""

_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def efficientnet_lite_names(trunk: EfficientNetLite) -> dict[str, str]:
    """Names in the `efficientnet-lite-pytorch` family of files -> names in our trunk with a head.

    Both write a block as widen, filter, narrow, so the convolutions and norms correspond one to one, in order.
    """
    names = {"_conv_stem.weight": f"stem.{_first(trunk.stem, nn.Conv2d)}.weight"}
    names |= _norm_names("_bn0", f"stem.{_first(trunk.stem, nn.BatchNorm2d)}")
    number = 0
    for s, stage in enumerate(trunk.stages):
        assert isinstance(stage, nn.Sequential)
        for b, block in enumerate(stage):
            assert isinstance(block, InvertedBottleneck)
            here, there = f"stages.{s}.{b}.layers", f"_blocks.{number}"
            convolutions = [i for i, layer in enumerate(block.layers) if isinstance(layer, nn.Conv2d)]
            norms = [i for i, layer in enumerate(block.layers) if isinstance(layer, nn.BatchNorm2d)]
            # A block that does not widen has no `_expand_conv` and no `_bn0`: count from the end.
            for foreign, place in zip(("_project_conv", "_depthwise_conv", "_expand_conv"), reversed(convolutions)):  # noqa: B905
                names[f"{there}.{foreign}.weight"] = f"{here}.{place}.weight"
            for foreign, place in zip(("_bn2", "_bn1", "_bn0"), reversed(norms)):  # noqa: B905
                names |= _norm_names(f"{there}.{foreign}", f"{here}.{place}")
            number += 1
    names |= {"_conv_head.weight": "head.layers.0.weight", **_norm_names("_bn1", "head.layers.1")}
    names |= {"_fc.weight": "head.classes.weight", "_fc.bias": "head.classes.bias"}  # which no trunk has
    return names


def _norm_names(foreign: str, ours: str) -> dict[str, str]:
    return {f"{foreign}.{part}": f"{ours}.{part}" for part in _NORM}


def _first(layers: nn.Module, kind: type[nn.Module]) -> int:
    indexes: Iterator[int] = (i for i, layer in enumerate(layers.children()) if isinstance(layer, kind))
    return next(indexes)


def known_as(name: str, layers: Mapping[str, str | None], where: str) -> str:
    """The name in the table that a foreign layer's name is or fits; `InputError` with the nearest if there is none."""
    if name in layers:
        return name
    for pattern in layers:
        if fnmatchcase(name, pattern):
            return pattern
    raise InputError(f"{where}: not the weights of this network: {unknown_name('layer', name, layers)}")


def caffe_layers(network: Network) -> Layers:
    """The layers of the Caffe files that were released for a network.

    Raises `InputError` for a trunk or a decoder that no such file is known of.

    Source: the definitions of the releases: FCN's `net.py`, the prototxt files of DeconvNet, DeepLab and GDN.
    """
    return {
        **{name: f"backbone.{path}" for name, path in caffe_trunk_layers(network.backbone).items()},
        **{name: f"decoder.{path}".rstrip(".") for name, path in _decoder_layers(network.decoder).items()},
    }


def caffe_trunk_layers(trunk: nn.Module) -> dict[str, str]:
    """The layers of a trunk alone, as ImageNet's classifiers name them; raises `InputError` where no file is known."""
    if isinstance(trunk, VGG):
        return _vgg_layers(trunk)
    if isinstance(trunk, AlexNet):
        places = [place for place, layer in enumerate(trunk.features) if isinstance(layer, nn.Conv2d)]
        return {f"conv{number}": f"features.{place}" for number, place in enumerate(places, start=1)}
    if isinstance(trunk, GoogLeNet):
        return _googlenet_layers(trunk)
    if isinstance(trunk, ResNet):
        return _resnet_layers(trunk)
    raise InputError(f"no Caffe file with a {type(trunk).__name__} is known: choose another network")


def torchvision_layers(trunk: nn.Module) -> Layers:
    """The layers of torchvision's classifier on the same trunk; `fc6` and `fc7` stand for VGG's fully connected ones.

    Raises `InputError` for trunks that torchvision has in another form, or not at all.
    """
    if isinstance(trunk, VGG):  # theirs has no norms, so that its places are those of ours without them
        unnormed = [place for place, layer in enumerate(trunk.features) if not isinstance(layer, nn.BatchNorm2d)]
        places = {theirs: ours for theirs, ours in enumerate(unnormed) if isinstance(trunk.features[ours], nn.Conv2d)}
        convolutions = {f"features.{theirs}": f"features.{ours}" for theirs, ours in places.items()}
        return {"classifier.0": "fc6", "classifier.3": "fc7", **convolutions}
    if isinstance(trunk, ResNet):
        return {name: name for name, layer in trunk.named_modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)}
    kinds = {AlexNet: "AlexNet has no groups and 64 channels first", GoogLeNet: "GoogLeNet has batch norms"}
    if reason := kinds.get(type(trunk)):
        raise InputError(f"torchvision's {reason}: its weights do not fit this trunk; give Caffe's .caffemodel")
    raise InputError(f"torchvision has no {type(trunk).__name__}: give another file")


def classifier_pairs(network: Network) -> list[tuple[str, str]]:
    """The paths of fc6 and fc7 as convolutions, one pair a branch of the decoder; none for decoders without them."""
    layers = caffe_layers(network)
    sixth = [name for name in layers if name.startswith("fc6") and "deconv" not in name]
    pairs = [(layers[name], layers[name.replace("fc6", "fc7")]) for name in sixth]
    return [(fc6, fc7) for fc6, fc7 in pairs if fc6 and fc7]


def _vgg_layers(trunk: VGG) -> dict[str, str]:
    """`conv1_1` ... `conv5_3`, and DeconvNet's `bn1_1` ... behind them."""
    names, stage, number = dict[str, str](), 1, 0
    for place, layer in enumerate(trunk.features):
        if isinstance(layer, nn.Conv2d):
            number += 1
            names[f"conv{stage}_{number}"] = f"features.{place}"
        elif isinstance(layer, nn.BatchNorm2d):
            names[f"bn{stage}_{number}"] = f"features.{place}"
        elif isinstance(layer, nn.MaxPool2d):
            stage, number = stage + 1, 0
    return names


def _googlenet_layers(trunk: GoogLeNet) -> dict[str, str]:
    ways = {
        "1x1": "one", "3x3_reduce": "three_reduce", "3x3": "three", "5x5_reduce": "five_reduce", "5x5": "five",
        "pool_proj": "pool_projection",
    }  # fmt: skip
    names = {"conv1/7x7_s2": "conv1", "conv2/3x3_reduce": "conv2_reduce", "conv2/3x3": "conv2"}
    for block in trunk.blocks:
        names |= {f"inception_{block}/{theirs}": f"blocks.{block}.{ours}" for theirs, ours in ways.items()}
    return names


def _resnet_layers(trunk: ResNet) -> dict[str, str]:
    """`conv1`, `res2a_branch2a` ... `res5c_branch2c`; a norm is two layers: `bn...` its statistics, `scale...` the rest.

    The blocks of a short stage are called a, b, c; those of a longer one a, b1, b2, ...
    """
    names = {"conv1": "conv1", "bn_conv1": "bn1", "scale_conv1": "bn1"}
    ways = {
        "2a": ("conv1", "bn1"),
        "2b": ("conv2", "bn2"),
        "2c": ("conv3", "bn3"),
        "1": ("downsample.0", "downsample.1"),
    }
    for stage in range(1, trunk.stages + 1):
        blocks = list(trunk.get_submodule(f"layer{stage}").children())
        for index, block in enumerate(blocks):
            letter = "abc"[index] if len(blocks) <= 3 else f"b{index}" if index else "a"
            for branch, (convolution, norm) in ways.items():
                assert isinstance(block, Bottleneck)
                if branch == "1" and block.downsample is None:
                    continue
                theirs, ours = f"{stage + 1}{letter}_branch{branch}", f"layer{stage}.{index}"
                names |= {f"res{theirs}": f"{ours}.{convolution}"}
                names |= {f"bn{theirs}": f"{ours}.{norm}", f"scale{theirs}": f"{ours}.{norm}"}
    return names


def _decoder_layers(decoder: nn.Module) -> dict[str, str]:
    if isinstance(decoder, SkipDecoder):
        return _skip_layers(decoder)
    if isinstance(decoder, DeconvDecoder):
        return _deconvnet_layers(decoder)
    if isinstance(decoder, AtrousDecoder):
        return _atrous_layers(decoder)
    if isinstance(decoder, GlobalDeconvolution | FullyConnectedScores | LabelledScores):
        coarse = _decoder_layers(decoder.coarse)  # type: ignore[arg-type]  # a Decoder, which is a Module too
        names = {name: f"coarse.{path}" for name, path in coarse.items()}
        return names | ({"gdn": ""} if isinstance(decoder, GlobalDeconvolution) else {})
    raise InputError(f"no Caffe file with a {type(decoder).__name__} is known: choose another network")


def _skip_layers(decoder: SkipDecoder) -> dict[str, str]:
    """Scores and enlargements are called after the pool that they are added to, or after the stride that they undo."""
    head = [place for place, layer in enumerate(decoder.head) if isinstance(layer, nn.Conv2d)]
    names = {f"fc{number}": f"head.{place}" for number, place in enumerate(head, start=6)}
    names["score_fr"] = "score"
    for step, factor in enumerate(decoder.factors):
        pool = f"pool{4 - step}"
        names["upscore2" if step == 0 else f"upscore_pool{5 - step}"] = f"enlarge.{step}"
        names[f"score_{pool}"] = f"skip_scores.{step}"
        if factor != 1:
            names[f"scale_{pool}"] = f"factors.{step}"
    return names | {f"upscore{decoder.to_image.stride if decoder.factors else ''}": "to_image"}


def _deconvnet_layers(decoder: DeconvDecoder) -> dict[str, str]:
    """Ours carry the release's names, but for its `-`, which cannot stand in a name of Python's."""
    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d
    ours = [name for name, layer in decoder.layers.named_children() if isinstance(layer, kinds)]
    names = {name.replace("_", "-") if name.startswith("fc") else name: f"layers.{name}" for name in ours}
    return names | {"seg-score-*": "score"}


def _atrous_layers(decoder: AtrousDecoder) -> dict[str, str]:
    """One field of view is `fc6`, `fc7`, `fc8_*`, several are numbered from 1; ResNet's have no fc6, and count from 0.

    The branches of MSc on finer maps are called after what they read: `data_conv`, `data_fc`, `data_ms`, `pool1_conv`, ...
    """
    names = dict[str, str]()
    views = sum("fc6" in dict(branch.named_children()) for branch in decoder.branches)
    for number, (branch, read) in enumerate(zip(decoder.branches, decoder.reads, strict=True)):
        ours = [name for name, layer in branch.named_children() if isinstance(layer, nn.Conv2d)]
        if "fc6" in ours:
            count = f"_{number + 1}" if views > 1 else ""
            theirs = [f"fc6{count}", f"fc7{count}", f"fc8_*{count}"]
        elif len(ours) == 1:
            theirs = [f"fc1_*_c{number}" if len(decoder.branches) > 1 else "fc1_*"]
        else:
            theirs = [f"{f'pool{read}' if read else 'data'}_{layer}" for layer in ("conv", "fc", "ms")]
        names |= {name: f"branches.{number}.{place}" for name, place in zip(theirs, ours, strict=True)}
    return names
