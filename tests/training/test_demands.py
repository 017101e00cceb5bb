"""What a recipe asks that its network cannot do is refused before training, with the reason."""

from __future__ import annotations

import pytest
from tests.conftest import Refuses
from tests.training.trainings import planned, small

from pixelwise.geometry import Grid
from pixelwise.training.demands import meet_demands
from pixelwise.training.recipe import Recipe, read_recipe
from pixelwise.weights.checkpoint import NetworkConfig

GDN = {"network": "gdn_fcn32s_vgg16", "options": {"width": 0.05, "side": 65}}
LABELS = {**GDN, "options": {**GDN["options"], "label_loss": True}}  # type: ignore[dict-item]
HEADS = {"network": "fcn32s_vgg16", "options": {"width": 0.05, "heads": {"geometric": ["sky", "ground"]}}}
WITHOUT_MATRICES = {**LABELS["options"], "global_interpolation": False}  # type: ignore[dict-item]
FOV = {"network": "deeplab_largefov_vgg16", "options": {"width": 0.05}}
MSC = {"network": "deeplab_msc_largefov_vgg16", "options": {"width": 0.05}}
BASE = {"network": "deeplab_vgg16", "options": {"width": 0.05}}
LITE = {"network": "deeplab8s_lite0", "options": {}}


def asked(settings: dict) -> Grid:
    recipe = small(**settings)
    return meet_demands(recipe, NetworkConfig(recipe.network, 6, recipe.options))


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({**GDN, "label_loss": 1, "crop": 65}, ("label_loss=1", "has no label head", "label_loss: true")),
        ({"label_loss": 1}, ("fcn8s_lite0 has no label head",)),
        ({**LABELS, "crop": 65}, ("would learn nothing", "set the key label_loss")),
        ({**LABELS, "label_loss": 1, "crop": 33}, ("65 x 65 pixels", "crop=33", "set crop=65")),
        ({**LABELS, "label_loss": 1, "crop": None}, ("65 x 65 pixels", "crop=null")),
        ({**LABELS, "label_loss": 1, "crop": 33, "options": WITHOUT_MATRICES}, ("65 x 65 pixels", "set crop=65")),
        ({**GDN, "crop": 66}, ("crop=66", "up to 65")),
        ({**GDN, "crop": 65, "objective": "cells"}, ("objective=cells", "the matrices", "objective=pixels")),
        ({**FOV, "crop": 64, "objective": "cells"}, ("crop=64", "8k + 1", "choose 57 or 65")),
        ({**FOV, "crop": 320, "objective": "scales"}, ("objective=scales", "choose 313 or 321")),
        ({**BASE, "crop": 321, "objective": "cells"}, ("8k + 2", "choose 314 or 322")),
        ({**MSC, "crop": 64}, ("crop=64", "8k + 1")),
        ({**MSC, "crop": None}, ("crop=null", "8k + 1", "set crop")),
        ({**MSC, "crop": 321, "objective": "scales"}, ("crop=321", "not 160 at scale 0.5")),
        ({**HEADS, "objective": "cells"}, ("objective=cells", "the head main alone", "geometric too")),
        ({**HEADS, "class_weights": "median_frequency"}, ("class_weights=median_frequency", "class_weights=none")),
        ({**HEADS, "windows": "objects", "window_side": 600}, ("windows=objects", "leave out the option heads")),
        ({**FOV, "learn": "added"}, ("learn=added", "adds nothing", "deeplab_msc_largefov_vgg16")),
        ({"network": "deconvnet_vgg16", "options": {"width": 0.05}, "crop": 225}, ("crop=225", "32k from 224")),
        ({"options": {"unpooling": "switches"}}, ("'fcn8s_lite0' has no such option: 'unpooling'",)),
        ({"network": "deconvnet_lite0", "options": {}}, ("unknown network 'deconvnet_lite0'",)),
    ],
)
def test_what_a_network_cannot_do(settings: dict, parts: tuple[str, ...], refuses: Refuses) -> None:
    with refuses(*parts):
        asked(settings)
    with refuses(*parts):  # and a training says so, too
        planned(small(**settings))


@pytest.mark.parametrize(
    ("settings", "grid"),
    [
        ({**LABELS, "label_loss": 1, "crop": 65}, Grid(32, -21 + 21 + 0)),
        ({**LABELS, "label_loss": 1, "crop": 65, "options": WITHOUT_MATRICES}, Grid(32, 0)),
        ({**FOV, "crop": 321, "objective": "cells"}, Grid(8, 0)),
        ({**FOV, "crop": 320}, Grid(8, 0)),
        ({**FOV, "crop": None, "objective": "cells"}, Grid(8, 0)),
        ({**BASE, "crop": 306, "objective": "cells"}, Grid(8, 0.5)),
        ({**MSC, "crop": 321, "learn": "added"}, Grid(8, 0)),
        ({**LITE, "crop": 320, "objective": "cells"}, Grid(8, 7)),  # ours: nothing published that it must equal
        ({**LITE, "crop": 320, "objective": "scales"}, Grid(8, 7)),
    ],
)
def test_what_it_can(settings: dict, grid: Grid) -> None:
    found = asked(settings)
    assert found.scale == grid.scale
    assert settings.get("label_loss") or found == grid


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("link=sigmoid", "smoothing=0.1"), ("smoothing", "link: sigmoid")),
        (("label_loss=1", "objective=cells"), ("label_loss", "objective: pixels")),
        (("loss_scales=[0.5, 0.75]",), ("loss_scales", "1 among them")),
        (("loss_scales=[0, 1]",), ("loss_scales", "above 0")),
        (("sampled=0",), ("sampled",)),
        (("divide_by=pixels",), ("divide_by", "'places', 'batch' or 'images'")),
        (("objective=patches",), ("objective",)),
        (("learn=head",), ("learn",)),
        (("overhang=left",), ("overhang",)),
        (("stretch=0",), ("stretch",)),
        (("label_loss=-1",), ("label_loss",)),
    ],
)
def test_keys_that_do_not_go_together(words: tuple[str, ...], parts: tuple[str, ...], refuses: Refuses) -> None:
    with refuses(*parts):
        read_recipe(None, words)


def test_a_recipe_that_goes_on_from_a_model_says_so(refuses: Refuses) -> None:
    with refuses("starts from a trained model", "--init-from MODEL"):
        planned(Recipe(network="fcn32s_vgg16", init="model", crop=48))
    with refuses("no ImageNet weights are at hand for VGG", "import-weights", "--init-from"):
        planned(Recipe(network="fcn32s_vgg16", crop=48))
