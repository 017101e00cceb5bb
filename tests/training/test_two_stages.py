"""DeconvNet's training in two stages: what lies in the folder is not done again, and a killed one ends as one that was not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import Refuses
from tests.training.trainings import CutOffError, cut_at, fingerprint
from torch import nn

import pixelwise
from pixelwise.data.dataset import DataSet
from pixelwise.data.shapes import Shapes
from pixelwise.models.network import Network
from pixelwise.training import resumed, two_stages
from pixelwise.training.loop import Progress
from pixelwise.training.recipe import Recipe, read_recipe
from pixelwise.training.resumed import Judge
from pixelwise.training.two_stages import Statistics, TwoStageFolder, train_two_stages
from pixelwise.weights.checkpoint import load_checkpoint

DATA = Shapes(6, size=(120, 160))
FEW = Statistics(batch_size=3, passes=2)
WORDS = (
    "options={width: 0.03125, decoder_width: 0.015625}", "steps=3", "batch_size=2", "save_every=1", "warmup=0",
    "init=none", "still_stages=2", "edges=gradient", "workers=0", "precision=no", "learning_rate=0.001",
)  # fmt: skip


def small_stages(*words: str) -> tuple[Recipe, Recipe]:
    first, second = (read_recipe(f"deconvnet_small_stage{stage}", (*WORDS, *words)) for stage in (1, 2))
    return first, second


def nothing(network: Network, data: DataSet, part: int, parts: int) -> NDArray[np.int64]:
    raise AssertionError("nothing is held out")


def done(
    folder: Path,
    recipes: tuple[Recipe, ...] | None = None,
    judge: Judge | None = None,
) -> bool:
    judge = judge or Judge(nothing, float)
    recipes = recipes or small_stages()
    return train_two_stages(recipes, lambda _: DATA, (), TwoStageFolder(folder), judge, statistics=FEW)


def traces(folder: Path) -> dict[str, str]:
    """Weights of all the models."""
    places = ("stage1/model", "stage2/model", "estimated", "model")
    return {place: fingerprint(load_checkpoint(folder / place).network.state_dict()) for place in places}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert done(folder)
    return folder


def test_the_folded_model_scores_as_the_estimated_one(whole: Path) -> None:
    estimated, folded = (load_checkpoint(whole / name) for name in ("estimated", "model"))
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        expected, got = estimated.network(images), folded.network(images)
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert float(expected.std()) > 0
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.network.modules())
    assert folded.config.options["batch_norm"] is False
    assert "2 batches of 3 windows" in str(folded.record["statistics"])
    assert pixelwise.load(whole / "model").predict(DATA[0].image).labels.shape == (120, 160)


def test_each_stage_starts_from_the_one_before_and_sees_its_own_windows(whole: Path) -> None:
    second = load_checkpoint(whole / "stage2" / "model").record
    assert str(whole / "stage1" / "model") in second["started_from"]
    assert second["recipe"]["windows"] == "proposals"
    places = [(whole / stage / "windows.npz").read_bytes() for stage in ("stage1", "stage2")]
    assert places[0] != places[1]


def test_the_second_stage_can_be_done_alone(tmp_path: Path, refuses: Refuses) -> None:
    first, second = small_stages("steps=1")
    assert done(tmp_path / "alone", (second,))
    alone = load_checkpoint(tmp_path / "alone" / "estimated").record
    assert alone["recipe"]["windows"] == "proposals"
    assert alone["started_from"] == "random weights"
    assert not (tmp_path / "alone" / "stage1").exists()
    assert (tmp_path / "alone" / "model").is_dir()
    with refuses("stage 2 trains deconvnet_vgg16 with windows=proposals", "windows=objects"):
        done(tmp_path / "first", (first,))


def test_statistics_of_what_was_held_still_are_kept_and_others_are_taken_anew(whole: Path) -> None:
    before, after = (load_checkpoint(whole / name).network for name in ("stage2/model", "estimated"))
    still = len([m for m in before.backbone.features[: before.backbone.ends[2]] if isinstance(m, nn.BatchNorm2d)])  # type: ignore[union-attr, index]
    norms = [
        [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)] for network in (before, after)
    ]
    same = [torch.equal(old.running_mean, new.running_mean) for old, new in zip(*norms, strict=True)]  # type: ignore[arg-type]
    assert still == 4
    assert same == [True] * 4 + [False] * (len(same) - 4)
    assert not norms[1][0].running_mean.any()  # type: ignore[union-attr]  # as it was built: HED's features pass as they are


@pytest.mark.parametrize("cut", [1, 3, 4, 6])
def test_a_killed_training_ends_as_one_that_was_not(whole: Path, cut: int, tmp_path: Path) -> None:
    steps: list[Progress] = []

    def watch(progress: Progress) -> None:
        steps.append(progress)
        if len(steps) == cut:
            cut_at(progress.step)(progress)

    with pytest.raises(CutOffError):
        done(tmp_path, judge=Judge(nothing, float, watch))
    assert done(tmp_path, judge=Judge(nothing, float, steps.append))
    assert list(dict.fromkeys((at.step, at.steps) for at in steps)) == [(step, 6) for step in range(1, 7)]
    assert traces(tmp_path) == traces(whole)


def test_one_that_was_asked_to_stop_goes_on(whole: Path, tmp_path: Path) -> None:
    asked = Judge(nothing, float, stop=lambda: True)
    calls = 0
    while not done(tmp_path, judge=asked):
        calls += 1
        assert calls < 10
    assert calls == 4  # two steps of each stage were the last of their session; the third step ends the stage
    assert traces(tmp_path) == traces(whole)


@pytest.mark.parametrize("broken", ["reestimate_statistics", "fold"])
def test_one_that_was_killed_behind_its_last_step_learns_nothing_twice(
    whole: Path, broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise CutOffError

    with monkeypatch.context() as patched:
        patched.setattr(two_stages, broken, killed)
        with pytest.raises(CutOffError):
            done(tmp_path)
    assert (tmp_path / "estimated").is_dir() == (broken == "fold")
    assert not (tmp_path / "model").exists()
    monkeypatch.setattr(resumed, "run", killed)
    assert done(tmp_path)
    assert traces(tmp_path) == traces(whole)
    assert done(tmp_path)  # and nothing is left to do


def test_without_norms_there_is_nothing_to_estimate_or_fold(tmp_path: Path) -> None:
    words = ("options={width: 0.03125, batch_norm: false}", "steps=1")
    assert done(tmp_path, small_stages(*words))
    told = traces(tmp_path)
    assert told["stage2/model"] == told["estimated"] == told["model"]
    assert "statistics" not in load_checkpoint(tmp_path / "model").record


def test_recipes_that_are_no_two_stages_are_refused(tmp_path: Path, refuses: Refuses) -> None:
    first, second = small_stages()
    with refuses("stage 1", "windows=objects", "windows=proposals"):
        done(tmp_path, (second, first))
    with refuses("stage 2 trains deconvnet_vgg16", "got fcn8s_lite0 with windows=none"):
        done(tmp_path, (first, Recipe()))
    nearest = second.model_copy(update={"options": {**second.options, "unpooling": "nearest"}})
    with refuses("both stages train one network", "nearest"):
        done(tmp_path, (first, nearest))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_began_with_another_recipe_is_refused(tmp_path: Path, refuses: Refuses) -> None:
    assert not done(tmp_path, judge=Judge(nothing, float, stop=lambda: True))
    with refuses("stage1", "began with another recipe"):
        done(tmp_path, small_stages("seed=1"))
