"""What trainings start from: HED's trunk with norms that change nothing; and where that is to be found."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from pixelwise.analysis.deconvnet_photographs import EVERY, SHORT, photographs
from pixelwise.analysis.reproduction import Training
from pixelwise.analysis.starts import made_of_trunk, save_trunk, settle_norms, start_of
from pixelwise.data.shapes import Shapes
from pixelwise.labels import LabelSpec
from pixelwise.models.hed import create_hed
from pixelwise.models.published import create_model
from pixelwise.training.recipe import read_recipe
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, load_checkpoint, save_checkpoint
from pixelwise.weights.names import caffe_trunk_layers


def test_settled_norms_change_nothing_and_know_what_they_see() -> None:
    torch.manual_seed(0)
    network = create_model("deconvnet_vgg16", 3, width=1 / 16, decoder_width=1 / 32)
    for layer in network.backbone.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.bias)  # type: ignore[arg-type]  # there is one
    images = torch.rand(4, 3, 64, 64) * 255
    settle_norms(network, images)
    norms = [module for module in network.backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == 13
    for norm in norms:
        seen = torch.randn(2, norm.num_features, 5, 5) * 30
        torch.testing.assert_close(norm.eval()(seen), seen, atol=1e-3, rtol=1e-4)
    with torch.no_grad():
        (*_, settled) = network.backbone.eval()(network.normalise(images)).maps
        (*_, by_batch) = network.backbone.train()(network.normalise(images)).maps
    assert settled.std() > 0.1
    torch.testing.assert_close(by_batch, settled, atol=0.02 * float(settled.std()), rtol=0.02)


def test_a_start_of_hed_has_its_trunk_and_the_recipes_classes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    trunk, sides = (
        create_hed(),
        {f"dsn{side}.{part}": torch.zeros(1) for side in range(1, 6) for part in ("weight", "bias")},
    )
    names = {
        f"{theirs}.{part}": f"{ours}.{part}"
        for theirs, ours in caffe_trunk_layers(trunk.backbone).items()
        for part in ("weight", "bias")
    }
    state = trunk.backbone.state_dict()
    save_file({theirs: state[ours].half() for theirs, ours in names.items()} | sides, tmp_path / "hed.safetensors")
    words = ("options={decoder_width: 0.015625}", "classes=[background, disc]")
    recipe = read_recipe("deconvnet_small_stage1", words)
    made_of_trunk(tmp_path / "hed.safetensors", recipe, Shapes(2), tmp_path / "start")
    made = load_checkpoint(tmp_path / "start")
    assert made.label_spec.names == ("background", "disc")
    convolutions = [layer for layer in made.network.backbone.modules() if isinstance(layer, torch.nn.Conv2d)]
    theirs = [tensor for name, tensor in state.items() if name.endswith("weight")]
    assert len(convolutions) == len(theirs) == 13
    for layer, weight in zip(convolutions, theirs, strict=True):
        torch.testing.assert_close(layer.weight.data, weight.half().float())


def test_a_trunk_is_handed_on_by_the_names_of_its_layers(tmp_path: Path) -> None:
    torch.manual_seed(2)
    spec = LabelSpec(("background", "disc"))
    config = NetworkConfig("fcn8s_atonce_vgg16", 2, {"decoder_width": 1 / 64})
    learned = config.build()
    save_checkpoint(tmp_path / "fcn", Checkpoint(learned, config, spec, {"recipe": {}}))
    save_trunk(tmp_path / "fcn", tmp_path / "trunk.safetensors")
    recipe = read_recipe("deconvnet_small_stage1", ("options={decoder_width: 0.015625}", "classes=[background, disc]"))
    made_of_trunk(tmp_path / "trunk.safetensors", recipe, Shapes(2), tmp_path / "start")
    made = load_checkpoint(tmp_path / "start").network
    theirs, ours = (
        [layer for layer in network.backbone.modules() if isinstance(layer, torch.nn.Conv2d)]
        for network in (learned, made)
    )
    assert len(theirs) == len(ours) == 13
    theirs += [layer for layer in learned.decoder.head if isinstance(layer, torch.nn.Conv2d)]
    ours += [getattr(made.decoder.layers, name) for name in ("fc6", "fc7")]
    for one, other in zip(theirs, ours, strict=True):
        torch.testing.assert_close(one.weight, other.weight, rtol=0, atol=0)
        torch.testing.assert_close(one.bias, other.bias, rtol=0, atol=0)


def test_a_start_lies_where_it_belongs(tmp_path: Path) -> None:
    hed, folder = tmp_path / "hed", tmp_path / "attempt"
    first = Training("first", "deconvnet_small_stage1")
    assert start_of(first, folder, None, hed) == folder / "starts" / "first"
    assert (
        start_of(Training("second", "deconvnet_small_stage2", after="first"), folder, None, hed)
        == folder / "runs" / "first" / "model"
    )
    assert start_of(Training("third", "deconvnet_small_stage1", ("init=none",)), folder, None, hed) is None
    handed_on = Training("fourth", "deconvnet_small_stage1", trunk="first")
    assert start_of(handed_on, folder, None, hed) == folder / "starts" / "fourth"
    assert not folder.exists()


def test_short_trainings_differ_in_one_thing_and_not_in_steps() -> None:
    trainings = {one.name: one for one in photographs(Path("hed")).trainings}
    short = trainings["short"].recipes()
    assert tuple(recipe.steps for recipe in short) == SHORT
    gentle = {"learning_rate": 0.0005, "last_rate": 1}  # what a network without norms stands
    for name, options, rates in (("nearest", {"unpooling": "nearest"}, {}), ("plain", {"batch_norm": False}, gentle)):
        changed = trainings[name].recipes()
        assert [
            recipe.model_copy(update={"options": {**recipe.options, **options}, **rates}) for recipe in short
        ] == list(changed)
    (alone,) = trainings["one_stage"].recipes()
    assert alone == short[1].model_copy(update={"steps": sum(SHORT), "init": "imagenet"})
    assert {trainings[name].every for name in ("short", "nearest", "plain", "one_stage")} == {EVERY}
