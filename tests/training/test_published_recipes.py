"""The recipes of the papers: each says what it is, learns what it should at the rates of its source, and takes steps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.trainings import SHAPES, planned, trained

from pixelwise.data.dataset import DataSet
from pixelwise.data.sample import ChannelSpec, Sample
from pixelwise.labels import LabelSpec
from pixelwise.models.network import Network
from pixelwise.training.demands import meet_demands
from pixelwise.training.optimiser import Rates, hold_still, parameter_groups
from pixelwise.training.plan import Plan
from pixelwise.training.recipe import Recipe, list_recipes, read_recipe
from pixelwise.training.run import build_learner
from pixelwise.training.windows import with_windows
from pixelwise.weights.checkpoint import NetworkConfig
from pixelwise.weights.surgery import BEGINNINGS, added_parameters

HEADED = {
    name: path for name, path in list_recipes().items() if path.parent.name in ("fcn", "deconvnet", "deeplab", "gdn")
}
PUBLISHED = {name: path for name, path in list_recipes().items() if path.parent.name in ("fcn", "deeplab", "gdn")}
DECONVNET = sorted(HEADED.keys() - PUBLISHED.keys())
CLASSES = {"context": 60, "siftflow": 33, "nyud": 40, "part": 7, "cityscapes": 19}


def head(name: str) -> dict[str, str]:
    """The comments in front of a recipe."""
    lines = [line[2:] for line in HEADED[name].read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
    return {"what": lines[0]} | dict(line.split(": ", 1) for line in lines[1:])


@pytest.mark.parametrize("name", HEADED)
def test_a_recipe_says_what_it_is_where_from_and_what_to_expect(name: str) -> None:
    told = head(name)
    assert told["what"].endswith(".")
    assert {"Source", "Expected"} <= told.keys() <= {"what", "Source", "Expected", "Start"}
    recipe = read_recipe(name)
    assert ("Start" in told) == (recipe.init != "none")
    named = re.findall(r"the model of the recipe (\w+)", told.get("Start", ""))
    assert len(named) == (recipe.init == "model")
    for start in named:
        begun = read_recipe(start)
        assert begun.network in (recipe.network, BEGINNINGS.get(recipe.network, ("",))[0], _coarser(recipe.network))
    if recipe.init == "imagenet":
        assert f"--to {recipe.network} --init" in told["Start"]


def _coarser(network: str) -> str:
    return network.replace("fcn16s", "fcn32s") if "fcn16s" in network else network.replace("fcn8s", "fcn16s")


@pytest.mark.parametrize("name", HEADED)
def test_nothing_that_the_papers_do_not_do_is_left_on(name: str) -> None:
    recipe = read_recipe(name)
    for key, off in (
        ("warmup", 0), ("brightness", 0), ("contrast", 0), ("saturation", 0), ("average", 0), ("clip", None),
        ("smoothing", 0), ("hardest", None), ("precision", "no"), ("optimiser", "caffe"),
    ):  # fmt: skip
        assert getattr(recipe, key) == off, key
    assert recipe.hold_out == 0 or recipe.schedule == "plateau"


# Multiples of learning_rate, and decay: the trunk's, new layers', last layers', each for weights and biases. None: held still.
Group = tuple[float, float] | None
Six = tuple[Group, Group, Group, Group, Group, Group]
FCN: Six = ((1, 5e-4), (2, 0), (1, 5e-4), (2, 0), (1, 5e-4), (2, 0))
DEEPLAB: Six = ((1, 5e-4), (2, 0), (1, 5e-4), (2, 0), (10, 5e-4), (20, 0))
PLAIN: Six = ((1, 5e-4), (1, 5e-4), (1, 5e-4), (1, 5e-4), (1, 5e-4), (2, 0))
FIXED: Six = (None, None, None, None, (1, 5e-4), (2, 0))
BRANCHES: Six = (None, None, (1, 5e-4), (2, 0), (1, 5e-4), (2, 0))
MATRICES: Six = (None, None, (1, 0.05), (1, 0), None, None)
KINDS = tuple(f"{part} {kind}" for part in ("backbone", "new", "last") for kind in ("weights", "biases"))


def expected_groups(name: str) -> Six:
    if name.startswith("gdn"):
        return MATRICES if name.endswith("_new") else FCN
    if name.startswith("fcn"):
        return {"fcn_alexnet_voc": PLAIN, "fcn32s_fixed_voc": FIXED}.get(name, FCN)
    return BRANCHES if "_v1_msc_" in name else DEEPLAB


def learning_network(recipe: Recipe, classes: int) -> Network:
    config = NetworkConfig(recipe.network, classes, recipe.options)
    with torch.device("meta"):
        network = config.build()
    hold_still(network, recipe.learn, added_parameters(config.name, network))
    return network


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_group_learns_and_decays_as_its_source_says(name: str) -> None:
    recipe = read_recipe(name)
    classes = next((count for word, count in CLASSES.items() if word in name), 21)
    network = learning_network(recipe, classes)
    rates = Rates(
        recipe.learning_rate, recipe.weight_decay, recipe.backbone_rate, recipe.last_rate, recipe.bias_rate,
        recipe.plain_biases,
    )  # fmt: skip
    groups = {group["name"]: group for group in parameter_groups(network, rates)}
    expected = dict(zip(KINDS, expected_groups(name), strict=True))
    trunk, last = set(network.backbone.parameters()), {p for layer in network.last_layers for p in layer.parameters()}
    if name.startswith("deeplab_v1_msc"):  # the branch on the coarsest map is LargeFOV's own
        last -= set(network.decoder.branches[-1].parameters())
    of_kind: dict[str, set] = {kind: set() for kind in KINDS}
    for path, parameter in network.named_parameters():
        part = "backbone" if parameter in trunk else "last" if parameter in last else "new"
        of_kind[f"{part} {'biases' if path.endswith('bias') else 'weights'}"].add(parameter)
    if recipe.learn == "added":
        added = added_parameters(recipe.network, network)
        of_kind = {k: {p for n, p in network.named_parameters() if p in ps and n in added} for k, ps in of_kind.items()}
    if "resnet101" in recipe.network:  # its norms are held still, and its convolutions have no biases
        norms = {p for n, p in network.named_parameters() if not p.requires_grad}
        of_kind = {kind: parameters - norms for kind, parameters in of_kind.items()}
        assert not of_kind["backbone biases"]
        assert all(len(p.shape) == 1 for p in norms)
    for kind, wanted in expected.items():
        if wanted is None or not of_kind[kind]:
            assert kind not in groups, kind
            continue
        multiple, decay = wanted
        assert set(groups[kind]["params"]) == of_kind[kind], kind
        assert groups[kind]["lr"] == pytest.approx(multiple * recipe.learning_rate), kind
        assert groups[kind]["weight_decay"] == decay, kind
    assert groups.keys() <= set(KINDS)
    assert groups


@pytest.mark.parametrize("name", DECONVNET)
def test_all_of_deconvnet_learns_at_one_rate_and_only_weights_decay(name: str) -> None:
    recipe = read_recipe(name)
    network = learning_network(recipe, 21)
    rates = Rates(recipe.learning_rate, recipe.weight_decay, recipe.backbone_rate, recipe.last_rate, recipe.bias_rate)
    groups = {id(p): group for group in parameter_groups(network, rates) for p in group["params"]}
    decay = 6.25e-5 if "release" in name else 5e-4  # the released solver divides it by its 8 batches
    for path, module in network.named_modules():
        for kind, parameter in module.named_parameters(recurse=False):
            norm = isinstance(module, torch.nn.BatchNorm2d)
            wanted = (0.01, 0.0) if norm else (0.01, decay) if kind == "weight" else (0.02, 0.0)
            group = groups.pop(id(parameter))
            assert (group["lr"], group["weight_decay"]) == pytest.approx(wanted), (path, kind)
    assert not groups
    assert sum(p.numel() for p in network.parameters()) == 251_805_653  # by hand, from DeconvNet (ICCV 2015), table 2
    assert sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules()) == 29
    assert (recipe.batch_size, recipe.accumulate, recipe.crop, recipe.window_side) == (8, 8, 224, 250)
    assert recipe.windows == ("objects" if "stage1" in name else "proposals")
    assert recipe.momentum == 0.9


# The base rate at steps (from 0) that were worked out by hand.
RATES: dict[str, dict[int, float]] = {
    "fcn32s_voc": {0: 1e-10, 99_999: 1e-10},
    "fcn16s_voc": {0: 1e-12, 99_999: 1e-12},
    "fcn8s_voc": {0: 1e-14},
    "fcn8s_atonce_voc": {299_999: 1e-10},
    "fcn8s_siftflow": {0: 1e-12},
    "fcn_alexnet_voc": {0: 1e-4, 99_999: 1e-4},
    "fcn_table1_googlenet_voc": {9_729: 5e-5},
    "deeplab_v1_largefov_voc": {0: 1e-3, 1999: 1e-3, 2000: 1e-4, 3999: 1e-4, 4000: 1e-5, 5999: 1e-5},
    "deeplab_v1_msc_largefov_voc": {1999: 1e-3, 2000: 1e-4, 4000: 1e-5},
    "deeplab_v1_trainval_voc": {0: 1e-2, 2999: 1e-2, 3000: 1e-3, 6000: 1e-4, 9000: 1e-5},
    "deeplab_v1_largefov_trainval_voc": {1999: 1e-3, 2000: 1e-4, 4000: 1e-5, 6000: 1e-6},
    # 1e-3 (1 - i / N)^0.9: half-way 0.5358867, at three quarters 0.2871746
    "deeplab_v2_largefov_voc": {0: 1e-3, 10_000: 5.358867e-4, 15_000: 2.871746e-4},
    "deeplab_v2_largefov_6k_batch30_voc": {3_000: 5.358867e-4},
    "deeplab_v2_aspp_resnet101_voc": {0: 2.5e-4, 10_000: 1.3397168e-4, 19_999: 2.5e-4 * 20_000**-0.9},
    "gdn_fcn32s_voc_new": {0: 1e-7, 1999: 1e-7},
    "gdn_fcn32s_voc": {0: 1e-8},
    "deconvnet_release_stage1_voc": {0: 1e-2, 8_999: 1e-2, 9_000: 1e-3, 18_000: 1e-4, 19_999: 1e-4},
    "deconvnet_release_stage2_voc": {9_999: 1e-2, 10_000: 1e-3, 20_000: 1e-4, 30_000: 1e-5},
}


@pytest.mark.parametrize("name", RATES)
def test_the_rate_is_the_one_worked_out_by_hand(name: str) -> None:
    from pixelwise.training.run import _factor

    recipe = read_recipe(name)
    for step, rate in RATES[name].items():
        assert step < recipe.steps
        assert recipe.learning_rate * _factor(recipe)(step) == pytest.approx(rate, rel=1e-6), step


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADED)
def test_at_full_size_the_network_can_do_what_is_asked(name: str) -> None:
    recipe = read_recipe(name)
    meet_demands(recipe, NetworkConfig(recipe.network, 21, recipe.options))


@dataclass(frozen=True)
class FourChannels:
    """Generated shapes with a made-up depth as a fourth channel."""

    shapes: DataSet

    @property
    def label_spec(self) -> LabelSpec:
        return self.shapes.label_spec

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.shapes.names)

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> Sample:
        sample = self.shapes[index]
        image = np.concatenate((sample.image, sample.image[..., :1]), axis=2)
        channels = ChannelSpec(("red", "green", "blue", "depth"), ((0, 255),) * 4, (None,) * 4)
        return Sample(sample.name, image, sample.labels, None, channels)

    def subset(self, names: tuple[str, ...]) -> DataSet:
        return FourChannels(self.shapes.subset(names))

    def with_classes(self, names: tuple[str, ...]) -> DataSet:
        return FourChannels(self.shapes.with_classes(names))


@dataclass(frozen=True)
class WithGeometry(FourChannels):
    """Generated shapes with the upper half of each image as sky."""

    def __getitem__(self, index: int) -> Sample:
        sample = self.shapes[index]
        geometry = np.ones(sample.size, np.uint8)
        geometry[: sample.size[0] // 2] = 0
        return Sample(sample.name, sample.image, {**sample.labels, "geometric": geometry})

    def subset(self, names: tuple[str, ...]) -> DataSet:
        return WithGeometry(self.shapes.subset(names))

    def with_classes(self, names: tuple[str, ...]) -> DataSet:
        return WithGeometry(self.shapes.with_classes(names))


def short(name: str) -> Recipe:
    """The recipe on a narrow network and small windows, from random weights."""
    recipe = read_recipe(name)
    side = 66 if recipe.crop == 306 else 65  # both are such that the last cells lie on the edge
    options = {"width": 0.05} | recipe.options
    if recipe.network.startswith("gdn"):
        options["side"] = side
    return recipe.model_copy(
        update={
            "options": options, "init": "none", "split": None, "select": "auto", "steps": 2, "validate_every": 2,
            "batch_size": min(2, recipe.batch_size), "accumulate": min(2, recipe.accumulate), "workers": 0,
            "crop": None if recipe.crop is None else side, "stretch": None if recipe.stretch is None else side,
        }
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_recipe_takes_two_steps(name: str, tmp_path: Path) -> None:
    recipe = short(name)
    data = FourChannels(SHAPES) if recipe.options.get("channels") == 4 else SHAPES
    data = WithGeometry(SHAPES) if "heads" in recipe.options else data
    at: Plan = planned(recipe, data)
    if recipe.learn == "added":  # a trained network's scores are not 0, and matrices on zeros would learn nothing
        for layer in at.network.last_layers:
            torch.nn.init.normal_(layer.weight)  # type: ignore[arg-type]
    before = {path: parameter.detach().clone() for path, parameter in at.network.named_parameters()}
    told = trained(recipe, tmp_path, data=data, at=at, score=lambda network, data: 0.5)
    assert [progress.step for progress in told] == [1, 2]
    assert all(progress.loss > 0 for progress in told)
    parts = {"cells": ["cells"], "pixels": ["pixels", "labels"] if recipe.label_loss else ["pixels"], "scales": []}
    expected = parts[recipe.objective] + [f"pixels_{head}" for head in recipe.options.get("heads", ())]
    assert recipe.objective == "scales" or list(told[0].parts) == expected
    assert recipe.objective != "scales" or len(told[0].parts) == 4
    learner = build_learner(at, torch.device("cpu"))
    learns = {id(p) for group in learner.optimiser.param_groups for p in group["params"]}
    moved = {path for path, p in at.network.named_parameters() if not torch.equal(p, before[path])}
    assert moved
    assert all(id(p) in learns for path, p in at.network.named_parameters() if path in moved)


@pytest.mark.slow
@pytest.mark.parametrize("name", DECONVNET)
def test_every_recipe_of_deconvnet_takes_two_steps_on_its_windows(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(name).model_copy(
        update={
            "options": {"width": 0.05}, "init": "none", "split": None, "select": "auto", "steps": 2, "validate_every": 2,
            "batch_size": 2, "accumulate": 2, "workers": 0,
        }
    )  # fmt: skip
    at = with_windows(planned(recipe), tmp_path / "windows.npz")
    assert len(at.source) > 0
    assert at.source is not at.training
    before = {path: parameter.detach().clone() for path, parameter in at.network.named_parameters()}
    told = trained(recipe, tmp_path, at=at, score=lambda network, data: 0.5)
    assert [progress.step for progress in told] == [1, 2]
    still = {path for path, parameter in at.network.named_parameters() if torch.equal(parameter, before[path])}
    assert not {
        path for path in still if before[path].ndim == 4
    }  # norms begin with 1, where tiny steps are rounded off
