"""The networks of GDN (Nekrasov, Ju & Choi, BMVC 2016), and its decoder on a laptop's trunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import cast

import torch

from pixelwise.errors import InputError
from pixelwise.geometry import Grid
from pixelwise.labels import MAIN
from pixelwise.models.decoders.global_deconv import (
    FullyConnectedScores,
    GlobalDeconvolution,
    LabelledScores,
    image_classifier,
)
from pixelwise.models.layers import scaled
from pixelwise.models.network import Decoder, Network
from pixelwise.models.published import deeplab, fcn

SIDE = 500  # section 4.3: the largest side in PASCAL VOC
"""Of the largest image."""

LABEL_HIDDEN = 1024
"""Width of the label head's hidden layers; the paper gives none, so this is our choice."""


def _gdn(
    build: Callable[..., Network],
    classes: int,
    *,
    side: int = SIDE,
    width: float = 1.0,
    initialisation: str = "uniform",
    nonlinearity: str = "none",
    label_loss: bool = False,
    label_hidden: int = LABEL_HIDDEN,
    global_interpolation: bool = True,
) -> Network:
    """The network that `build` gives, with global deconvolution for its enlarging, and a head for the label loss if asked.

    Without `global_interpolation` it keeps its own enlarging, and the label head is all that is added.
    """
    network = build(classes, width=width)
    cells, grid = _largest_map(build, side, classes, width=width)
    label_head = image_classifier(classes, cells, scaled(label_hidden, width)) if label_loss else None
    if not global_interpolation:
        if label_head is None:
            raise InputError("without global_interpolation nothing is added: set label_loss, or take the plain network")
        labelled = LabelledScores(_decoder(network), cells, side, label_head)
        return Network(network.normalise, network.backbone, labelled, network.sizes)
    decoder = GlobalDeconvolution(
        _decoder(network), cells, grid, side,
        initialisation=initialisation, nonlinearity=nonlinearity, label_head=label_head,
    )  # fmt: skip
    return Network(network.normalise, network.backbone, decoder, replace(network.sizes, maximum=side))


def _fully_connected(build: Callable[..., Network], classes: int, *, side: int = SIDE, width: float = 1.0) -> Network:
    """The network that `build` gives, its coarse scores mixed and then enlarged as ever: half of the ensemble GDN + FC."""
    network = build(classes, width=width)
    cells, _ = _largest_map(build, side, classes, width=width)
    decoder = FullyConnectedScores(_decoder(network), cells)
    return Network(network.normalise, network.backbone, decoder, replace(network.sizes, maximum=side))


def _largest_map(build: Callable[..., Network], side: int, classes: int, *, width: float) -> tuple[int, Grid]:
    """What becomes of an image of `side` x `side` pixels: the side of its coarse map, and where the cells lie."""
    with torch.device("meta"):  # shapes without memory
        network = build(classes, width=width).eval()
        if side < network.sizes.minimum:
            raise InputError(f"the network takes sides of {network.sizes.minimum} pixels or more, got side={side}")
        outputs = network.outputs(torch.empty(1, 3, side, side))
    return outputs.scores[MAIN].shape[-1], outputs.grids[MAIN]


def _decoder(network: Network) -> Decoder:
    return cast(Decoder, network.decoder)  # which nn.Module's typing cannot say


NETWORKS: Mapping[str, Callable[..., Network]] = {
    "gdn_fcn32s_vgg16": partial(_gdn, fcn.NETWORKS["fcn32s_vgg16"]),
    "gdn_fc_fcn32s_vgg16": partial(_fully_connected, fcn.NETWORKS["fcn32s_vgg16"]),
    "gdn_largefov_vgg16": partial(_gdn, deeplab.NETWORKS["deeplab_largefov_vgg16"]),
    # Ours, so it starts where it can learn at once: small random matrices on scores of zero take hundreds of steps to move.
    "gdn_lite0": partial(_gdn, fcn.NETWORKS["fcn32s_lite0"], initialisation="bilinear"),
}
