"""A recipe and its network in, nothing or a reason out: what a recipe asks that its network cannot do is said before training."""

from __future__ import annotations

import torch

from pixelwise.errors import InputError
from pixelwise.geometry import Grid
from pixelwise.labels import MAIN
from pixelwise.models.decoders.global_deconv import GlobalDeconvolution, LabelledScores
from pixelwise.models.facts import in_words
from pixelwise.models.network import Network, Outputs
from pixelwise.training.objectives import scaled_size
from pixelwise.training.recipe import Recipe
from pixelwise.weights.checkpoint import NetworkConfig
from pixelwise.weights.surgery import BEGINNINGS


def meet_demands(recipe: Recipe, config: NetworkConfig) -> Grid:
    """Where the cells of the network's scores lie, once it is known that it can do what the recipe asks.

    Only shapes are worked with. Raises `InputError` with the reason: sides that the network does not take, a loss for
    which it has no head, coarse labels that would not lie where the published ones do, a part that it does not have.
    """
    with torch.device("meta"):
        network = config.build().eval()
    _refuse_sides(recipe, network)
    if recipe.learn == "added" and config.name not in BEGINNINGS:
        raise InputError(
            f"learn=added: {config.name} adds nothing to another network; {', '.join(BEGINNINGS)} do: choose learn=all"
        )
    side = recipe.crop or network.sizes.padded(network.sizes.shrunk((64, 64)))[0]
    with torch.no_grad():
        outputs = network.outputs(torch.empty(1, len(network.fill), side, side, device="meta"))
    _refuse_label_loss(recipe, network, outputs)
    _refuse_heads(recipe, network)
    grid = outputs.grids[MAIN]
    if recipe.objective != "pixels":
        _refuse_cells(recipe, network, grid)
    return grid


def _refuse_sides(recipe: Recipe, network: Network) -> None:
    name, sizes = recipe.network, network.sizes
    if recipe.crop is None:
        if sizes.multiple > 1:
            raise InputError(
                f"crop=null: {name} takes sides of {in_words(sizes)} only, not images as they are: set crop"
            )
        return
    shown = recipe.loss_scales if recipe.objective == "scales" else (1.0,)
    for scale in shown:
        side = scaled_size((recipe.crop, recipe.crop), scale)[0]
        if not sizes.admits((side, side)) or (sizes.maximum is not None and side > sizes.maximum):
            at = "" if scale == 1 else f" at scale {scale:g}"
            raise InputError(
                f"crop={recipe.crop}: {name} takes sides of {in_words(sizes)}, not {side}{at}: choose another"
            )


def _refuse_label_loss(recipe: Recipe, network: Network, outputs: Outputs) -> None:
    decoder = network.decoder
    labelled = decoder if isinstance(decoder, GlobalDeconvolution | LabelledScores) else None
    head = labelled is not None and labelled.label_head is not None
    if recipe.label_loss and not head:
        raise InputError(
            f"label_loss={recipe.label_loss:g}: {recipe.network} has no label head: leave it out, "
            f"or take a gdn_ network with label_loss: true among its options"
        )
    if head and not recipe.label_loss:
        raise InputError(
            "the label head of the option label_loss would learn nothing: set the key label_loss, say to 1"
        )
    if head and (recipe.crop is None or outputs.image_logits is None):
        assert labelled is not None
        raise InputError(
            f"label_loss={recipe.label_loss:g}: the label head looks at images of {labelled.side} x {labelled.side} pixels, "
            f"got crop={'null' if recipe.crop is None else recipe.crop}: set crop={labelled.side}"
        )


def _refuse_heads(recipe: Recipe, network: Network) -> None:
    others = [head for head in network.heads if head != MAIN]
    if not others:
        return
    for key, only in (("objective", "pixels"), ("class_weights", "none"), ("windows", "none")):
        if (value := getattr(recipe, key)) != only:
            raise InputError(
                f"{key}={value}: knows the head {MAIN} alone, and {recipe.network} has {', '.join(others)} too: "
                f"choose {key}={only}, or leave out the option heads"
            )


def _refuse_cells(recipe: Recipe, network: Network, grid: Grid) -> None:
    asked = f"objective={recipe.objective}"
    if isinstance(network.decoder, GlobalDeconvolution):
        raise InputError(f"{asked}: the matrices of {recipe.network} would learn nothing: choose objective=pixels")
    if recipe.crop is None or grid.shift >= 1:  # not one of those whose first cell lies on the image's edge
        return
    over = (recipe.crop - 1 - 2 * grid.shift) % grid.scale
    if over:
        below = int(recipe.crop - over)
        stride = round(grid.scale)
        raise InputError(
            f"{asked}: with crop={recipe.crop} the last cells of {recipe.network} do not lie on the window's edge as the "
            f"first ones do; its labels are exact for {stride}k + {below % stride}: choose {below} or {below + stride}"
        )
