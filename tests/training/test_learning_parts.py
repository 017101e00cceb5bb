"""Which part of a network learns: the rest keeps its weights, and its running statistics too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.conftest import Refuses
from tests.training.trainings import SHAPES, narrow, planned, small, trained
from torch import nn

from pixelwise.models.network import Network
from pixelwise.training.loop import Progress
from pixelwise.training.optimiser import Rates, parameter_groups
from pixelwise.training.plan import Plan, plan
from pixelwise.training.recipe import Recipe
from pixelwise.weights.checkpoint import load_checkpoint
from pixelwise.weights.surgery import BEGINNINGS

NARROW = {"width": 0.05}
SIDE = {"width": 0.05, "side": 65}


def learning(network: Network) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def changed(before: dict[str, torch.Tensor], network: Network) -> set[str]:
    after = network.state_dict()
    return {name for name in after if not torch.equal(before[name], after[name]) and "num_batches" not in name}


def state(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize(
    ("learn", "may"),
    [
        ("all", lambda name: True),
        ("decoder", lambda name: name.startswith("decoder.")),
        ("last", lambda name: name.startswith(("decoder.score.", "decoder.skip_scores."))),
    ],
)
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_what_is_held_still_keeps_weights_and_statistics(
    tmp_path: Path, learn: str, may: Callable[[str], bool], average: float
) -> None:
    # weight decay would move weights that have no gradient, and batches the statistics of norms
    recipe = small(learn=learn, steps=3, weight_decay=0.1, average=average)
    at = planned(recipe)
    before = state(at.network)
    assert learning(at.network) == {name for name, _ in at.network.named_parameters() if may(name)}
    trained(recipe, tmp_path, at=at)
    moved = changed(before, at.network)
    assert moved
    assert all(may(name) for name in moved)
    statistics = {name for name in before if name.endswith("running_mean")}
    assert statistics & moved == {name for name in statistics if learn != "last" and may(name)}
    kept = load_checkpoint(tmp_path / "model").network.state_dict()
    assert all(torch.equal(kept[name], before[name]) for name in before if not may(name) and "num_batches" not in name)


def test_a_part_stays_still_behind_a_validation(tmp_path: Path) -> None:
    # which puts the network into evaluation mode and back
    recipe = small(learn="decoder", steps=3, hold_out=0.3, validate_every=1)
    at = planned(recipe)
    before = state(at.network.backbone)  # type: ignore[arg-type]
    modes: list[bool] = []

    def watch(progress: Progress) -> None:
        norms = [module for module in at.network.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
        modes.append(any(norm.training for norm in norms))

    trained(recipe, tmp_path, at=at, score=lambda network, data: 0.5, watch=watch)
    assert modes == [False] * 3
    assert all(torch.equal(tensor, before[name]) for name, tensor in at.network.backbone.state_dict().items())


GROWN = {
    "deeplab_msc_largefov_vgg16": (
        NARROW,
        NARROW,
        lambda name: name.startswith("decoder.branches.") and name[17] < "5",
    ),
    "gdn_fcn32s_vgg16": (
        NARROW,
        {**SIDE, "label_loss": True, "label_hidden": 8},
        lambda name: name in ("decoder.rows", "decoder.columns") or name.startswith("decoder.label_head."),
    ),
    "gdn_fc_fcn32s_vgg16": (NARROW, SIDE, lambda name: name.startswith("decoder.fully_connected.")),
    "gdn_largefov_vgg16": (NARROW, SIDE, lambda name: name in ("decoder.rows", "decoder.columns")),
    "gdn_lite0": ({}, {"side": 65}, lambda name: name in ("decoder.rows", "decoder.columns")),
}


def grown_from(name: str, folder: Path) -> tuple[Plan, Plan]:
    """A trained network, and the one that adds to it, of which only that learns."""
    theirs, ours, _ = GROWN[name]
    first = narrow(network=BEGINNINGS[name][0], options=theirs, crop=65, steps=1, learning_rate=0.01)
    begun = planned(first)
    trained(first, folder, at=begun)
    label_loss = 1.0 if "label_loss" in ours else 0.0
    second = narrow(
        network=name, options=ours, crop=65, init="model", learn="added", label_loss=label_loss, learning_rate=0.01
    )
    return begun, plan(second, lambda _: SHAPES, (), init_from=folder / "model")


@pytest.mark.parametrize("name", GROWN)
def test_a_network_begins_from_the_one_it_adds_to(tmp_path: Path, name: str) -> None:
    begun, grown = grown_from(name, tmp_path / "first")
    added = GROWN[name][2]
    assert learning(grown.network) == {path for path, _ in grown.network.named_parameters() if added(path)}
    there, here = BEGINNINGS[name][1:]
    for path, tensor in begun.network.state_dict().items():
        ours = here + path.removeprefix(there) if path.startswith(there) else path
        assert torch.equal(grown.network.state_dict()[ours], tensor), path
    assert f"a {BEGINNINGS[name][0]}" in grown.origin
    before = state(grown.network)
    trained(grown.recipe, tmp_path / "second", at=grown)
    moved = changed(before, grown.network)
    assert moved
    assert all(added(path) for path in moved)


def test_every_beginning_is_tried() -> None:
    assert set(GROWN) == set(BEGINNINGS)


def test_a_network_of_another_width_is_no_beginning(tmp_path: Path, refuses) -> None:
    first = narrow(network="fcn32s_vgg16", options={"width": 0.1}, steps=1)
    trained(first, tmp_path / "first")
    second = narrow(network="gdn_fcn32s_vgg16", options=SIDE, init="model")
    with refuses("is a fcn32s_vgg16", "choose the same network and options"):
        plan(second, lambda _: SHAPES, (), init_from=tmp_path / "first" / "model")


def test_a_run_from_a_model_is_resumed_without_it(tmp_path: Path) -> None:
    _, grown = grown_from("deeplab_msc_largefov_vgg16", tmp_path / "first")
    before = state(grown.network)
    trained(grown.recipe, tmp_path / "run", at=grown, stop=lambda: True)
    resumed = plan(grown.recipe, lambda _: SHAPES, (), resumed=True)
    assert learning(resumed.network) == learning(grown.network)
    trained(grown.recipe, tmp_path / "run", at=resumed, resume=True)
    moved = changed(before, resumed.network)
    assert moved
    assert moved <= learning(grown.network)


def test_plain_biases_are_special_in_the_score_layers_alone() -> None:
    network = planned(narrow()).network
    rates = Rates(0.1, 0.01, backbone=0.5, last=10, bias=2, plain_biases=True)
    groups = {group["name"]: (group["lr"], group["weight_decay"]) for group in parameter_groups(network, rates)}
    assert groups == {
        "backbone weights": (0.05, 0.01), "backbone biases": (0.05, 0.01),
        "new weights": (0.1, 0.01), "new biases": (0.1, 0.01),
        "last weights": (1.0, 0.01), "last biases": (2.0, 0.0),
    }  # fmt: skip


@pytest.mark.parametrize("backbone", [0.0, 0.1, 1.0])
def test_the_rate_that_is_told_is_the_recipes(tmp_path: Path, backbone: float) -> None:
    recipe: Recipe = narrow(backbone_rate=backbone, learning_rate=0.002, schedule="poly", power=1, steps=4)
    told = trained(recipe, tmp_path)
    assert [progress.rate for progress in told] == pytest.approx([0.002, 0.0015, 0.001, 0.0005])


@pytest.mark.parametrize("stages", [0, 2, 5])
def test_a_trunks_first_stages_are_held_still(stages: int) -> None:
    still = 2 * min(stages, 2) + 3 * max(0, stages - 2)  # convolutions of VGG16
    network = planned(small(network="fcn32s_vgg16", options=NARROW, still_stages=stages)).network
    convolutions = [layer for layer in network.backbone.features if isinstance(layer, nn.Conv2d)]  # type: ignore[union-attr]
    assert [layer.weight.requires_grad for layer in convolutions] == [False] * still + [True] * (13 - still)
    assert all(parameter.requires_grad for parameter in network.decoder.parameters())


def test_stages_that_are_not_there(refuses: Refuses) -> None:
    with refuses("still_stages=6", "has 5"):
        planned(small(network="fcn32s_vgg16", options=NARROW, still_stages=6))
    with refuses("still_stages=1", "EfficientNetLite", "a network on VGG"):
        planned(small(still_stages=1))
