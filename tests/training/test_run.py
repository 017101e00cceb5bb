"""Whole trainings, small: they learn, go on exactly where they were cut off, and leave a model that loads."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import Refuses

import pixelwise
from pixelwise.data.dataset import DataSet, hold_out
from pixelwise.data.shapes import CLASSES, Shapes
from pixelwise.models.network import Network
from pixelwise.training.loop import Progress
from pixelwise.training.recipe import Recipe, read_recipe
from pixelwise.training.run import plan, run, saved_recipe

SHAPES = Shapes(24, size=(64, 80))


def small(**changes: object) -> Recipe:
    """A recipe that takes seconds: few, small windows, on the main process, in full precision."""
    settings = {
        "init": "none", "options": {"context": 16}, "steps": 4, "batch_size": 2, "crop": 64, "warmup": 0,
        "precision": "no", "workers": 0, "hold_out": 0, "save_every": 2,
    }  # fmt: skip
    return Recipe.model_validate(settings | changes)


def never(network: Network, data: DataSet) -> float:
    raise AssertionError("nothing is held out, so nothing is to be scored")


def trained(
    recipe: Recipe,
    folder: Path,
    *,
    data: DataSet = SHAPES,
    score: Callable[[Network, DataSet], float] = never,
    watch: Callable[[Progress], None] = lambda _: None,
) -> list[Progress]:
    """Plan and run; what was told of each step."""
    told: list[Progress] = []

    def tell(progress: Progress) -> None:
        told.append(progress)
        watch(progress)

    assert run(plan(data, recipe), recipe, folder, score=score, watch=tell) == folder / "model"
    return told


class CutOffError(Exception):
    """The end of a run before its time."""


def cut_at(step: int) -> Callable[[Progress], None]:
    def watch(progress: Progress) -> None:
        if progress.step == step:
            raise CutOffError

    return watch


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def test_the_loss_falls(tmp_path: Path) -> None:
    recipe = small(steps=20, batch_size=4, learning_rate=0.05, scale=(1, 1), flip=0, brightness=0)
    told = trained(recipe, tmp_path, data=SHAPES.subset(SHAPES.names[:4]))
    assert [progress.step for progress in told] == list(range(1, 21))
    losses = [progress.loss for progress in told]
    assert losses[0] == pytest.approx(np.log(len(CLASSES)), rel=1e-5)  # zero scores: every class alike
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
    assert all(later.seconds > earlier.seconds for earlier, later in itertools.pairwise(told))


@pytest.mark.parametrize("cut", [3, 5, 6])
def test_a_run_that_was_cut_off_ends_with_the_same_weights(tmp_path: Path, cut: int) -> None:
    recipe = small(steps=6, save_every=2)
    whole = trained(recipe, tmp_path / "whole")
    with pytest.raises(CutOffError):
        trained(recipe, tmp_path / "cut", watch=cut_at(cut))
    rest = trained(read_recipe(saved_recipe(tmp_path / "cut")), tmp_path / "cut")
    assert [progress.step for progress in rest] == list(range(cut - (cut - 1) % 2, 7))  # from the last saved step on
    for resumed, never_cut in zip(rest, whole[-len(rest) :], strict=True):
        assert (resumed.loss, resumed.rate) == (never_cut.loss, never_cut.rate)
    expected, got = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert expected.keys() == got.keys()
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    recipe = small(steps=2)
    trained(recipe, tmp_path)
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    assert trained(recipe, tmp_path) == []
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before


def test_a_damaged_state_is_named(tmp_path: Path, refuses: Refuses) -> None:
    with pytest.raises(CutOffError):
        trained(small(), tmp_path, watch=cut_at(3))
    (state,) = (tmp_path / "states").glob("step-*")
    (state / "optimizer.bin").write_bytes(b"no optimiser")
    with refuses(str(state), "cannot be resumed"):
        trained(small(), tmp_path)


def test_nothing_to_resume(tmp_path: Path, refuses: Refuses) -> None:
    with refuses(str(tmp_path), "no run to resume"):
        saved_recipe(tmp_path)


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        trained(small(steps=2, seed=seed), tmp_path / folder)
    first, again, other = (weights(tmp_path / folder) for folder in ("a", "b", "c"))
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    assert not torch.equal(other["decoder.score.weight"], first["decoder.score.weight"])


def test_a_loss_that_is_no_number_names_step_and_files(tmp_path: Path, refuses: Refuses) -> None:
    told: list[Progress] = []
    with refuses("the loss is", "at step", "shapes_000", "learning_rate"):
        trained(small(steps=50, learning_rate=1e12, momentum=0), tmp_path, watch=told.append)
    assert all(np.isfinite(progress.loss) for progress in told)


def test_a_run_leaves_a_model_that_loads_and_says_how_it_was_made(tmp_path: Path) -> None:
    recipe = small(steps=20, stored="float16", terms="for tests alone", classes=("background", "disc"))
    told = trained(recipe, tmp_path)
    model = pixelwise.load(tmp_path)
    assert model.label_spec.names == ("background", "disc")
    assert model.predict(SHAPES[0].image).labels.shape == (64, 80)
    assert Recipe(**model.record["recipe"]) == recipe == read_recipe(tmp_path / "recipe.yaml")
    assert (model.record["step"], model.record["training_images"]) == (20, 24)
    assert (tmp_path / "training_ids.txt").read_text().splitlines() == list(SHAPES.names)
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["loss"] == told[-1].loss
    card = (tmp_path / "model" / "README.md").read_text()
    assert "for tests alone" in card
    assert "no images were held out" in card


def test_held_out_images_are_scored_and_not_trained_on(tmp_path: Path) -> None:
    recipe = small(steps=6, hold_out=0.3, validate_every=2)
    scores = iter((0.25, 0.5, 0.125))
    scored: list[tuple[str, ...]] = []

    def score(network: Network, data: DataSet) -> float:
        assert not network.training
        scored.append(tuple(data.names))
        return next(scores)

    told = trained(recipe, tmp_path, score=score)
    learned_from = (tmp_path / "training_ids.txt").read_text().splitlines()
    rest, held = hold_out(SHAPES, 0.3)
    assert learned_from == list(rest.names)
    assert set(scored) == {tuple(held.names)}
    assert set(learned_from).isdisjoint(held.names)
    assert set(learned_from) | set(held.names) == set(SHAPES.names)
    assert [progress.score for progress in told] == [None, 0.25, None, 0.5, None, 0.125]
    assert [progress.best for progress in told] == [None, 0.25, 0.25, 0.5, 0.5, 0.5]
    record = pixelwise.load(tmp_path).record  # the model is the one of the best score
    assert (record["step"], record["selection_score"], record["selection_images"]) == (4, 0.5, len(held))
    logged = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert logged == [2, 4, 6]


def test_what_cannot_be_trained_is_said_before_anything_is_written(refuses: Refuses) -> None:
    with refuses("unknown network"):
        plan(SHAPES, small(network="fcn9s"))
    with refuses("unknown class 'disk'", "did you mean 'disc'?"):
        plan(SHAPES, small(classes=("background", "disk")))
    with refuses("init=none"):
        plan(SHAPES, small(init="imagenet", network="fcn8s_vgg16", options={"width": 1 / 16}))
    with refuses("cannot hold"):
        plan(SHAPES.subset(SHAPES.names[:1]), small(hold_out=0.5))


def test_16_bit_arithmetic_learns_too_and_in_one_process_with_the_other(tmp_path: Path) -> None:
    for precision in ("bf16", "no"):
        recipe = small(steps=8, precision=precision, learning_rate=0.05, scale=(1, 1), flip=0, brightness=0)
        told = trained(recipe, tmp_path / precision, data=SHAPES.subset(SHAPES.names[:2]))
        assert told[-1].loss < 0.9 * told[0].loss
    halves, wholes = weights(tmp_path / "bf16"), weights(tmp_path / "no")
    assert {tensor.dtype for tensor in halves.values()} == {tensor.dtype for tensor in wholes.values()}
    assert not torch.equal(halves["decoder.score.weight"], wholes["decoder.score.weight"])
