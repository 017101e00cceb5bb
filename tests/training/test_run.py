"""Whole trainings, small: they learn, go on exactly where they were cut off, and leave a model that loads."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tests.conftest import Refuses
from tests.training.trainings import (
    SHAPES,
    CutOffError,
    cut_at,
    fingerprint,
    narrow,
    planned,
    small,
    trained,
    weights,
)

import pixelwise
from pixelwise.data.dataset import DataSet, hold_out
from pixelwise.data.shapes import CLASSES
from pixelwise.models.network import Network
from pixelwise.training.loop import Progress
from pixelwise.training.plan import plan
from pixelwise.training.recipe import Recipe, read_recipe
from pixelwise.training.run import build_batches, build_learner, count_workers
from pixelwise.weights.checkpoint import load_checkpoint


def test_the_loss_falls(tmp_path: Path) -> None:
    recipe = small(steps=20, batch_size=4, learning_rate=0.05, scale=(1, 1), flip=0, brightness=0)
    told = trained(recipe, tmp_path, data=SHAPES.subset(SHAPES.names[:4]))
    assert [progress.step for progress in told] == list(range(1, 21))
    losses = [progress.loss for progress in told]
    assert losses[0] == pytest.approx(np.log(len(CLASSES)), rel=1e-5)  # zero scores: every class alike
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
    assert all(later.seconds > earlier.seconds for earlier, later in itertools.pairwise(told))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"average": 0.9},
        {"optimiser": "adamw", "schedule": "cosine", "clip": 1.0},
        {"accumulate": 2, "workers": 1, "hardest": 0.5},
        {"schedule": "plateau", "patience": 1, "hold_out": 0.3, "validate_every": 1},
    ],
    ids=["sgd", "average", "adamw", "accumulate", "plateau"],
)
@pytest.mark.parametrize("cut", [3, 5, 6])
def test_a_run_that_was_cut_off_ends_with_the_same_weights(tmp_path: Path, cut: int, options: dict) -> None:
    recipe = narrow(**{"steps": 6, "save_every": 2, "warmup": 2} | options)  # it has dropout
    never_better = lambda network, data: 0.5  # noqa: E731
    whole = trained(recipe, tmp_path / "whole", score=never_better)
    with pytest.raises(CutOffError):
        trained(recipe, tmp_path / "cut", watch=cut_at(cut), score=never_better)
    rest = trained(read_recipe(tmp_path / "cut" / "recipe.yaml"), tmp_path / "cut", score=never_better, resume=True)
    assert [progress.step for progress in rest] == list(range(cut - (cut - 1) % 2, 7))  # from the last saved step on
    for resumed, never_cut in zip(rest, whole[-len(rest) :], strict=True):
        assert (resumed.loss, resumed.rate) == (never_cut.loss, never_cut.rate)
    expected, got = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert expected.keys() == got.keys()
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())
    assert _logged(tmp_path / "whole") == _logged(tmp_path / "cut")
    assert len({progress.rate for progress in whole[2:]}) > 1  # the schedule did something, so that it is seen to go on


@pytest.mark.parametrize(
    ("device", "processes", "threads", "expected"),
    [("cpu", 1, 2, 0), ("cpu", 1, 1, 1), ("cpu", 2, 1, 0), ("cuda", 1, 2, 1)],
)
def test_batches_are_prepared_ahead_where_a_core_is_free(
    monkeypatch: pytest.MonkeyPatch, device: str, processes: int, threads: int, expected: int
) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    monkeypatch.setattr("pixelwise.training.run._cores", lambda: 2)
    accelerator = cast(Accelerator, SimpleNamespace(device=torch.device(device), num_processes=processes))
    assert count_workers(small(workers=None), accelerator) == expected
    assert count_workers(small(workers=3), accelerator) == 3


def _logged(run: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_a_normalised_network_goes_on_with_its_statistics(tmp_path: Path) -> None:
    recipe = small(steps=4, average=0.9)
    trained(recipe, tmp_path / "whole")
    with pytest.raises(CutOffError):
        trained(recipe, tmp_path / "cut", watch=cut_at(4))
    trained(recipe, tmp_path / "cut", resume=True)
    assert fingerprint(weights(tmp_path / "whole")) == fingerprint(weights(tmp_path / "cut"))


def test_a_finished_run_is_not_resumed(tmp_path: Path, refuses: Refuses) -> None:
    recipe = narrow(steps=2)
    trained(recipe, tmp_path)
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    with refuses(str(tmp_path), "has finished its 2 steps", "--init-from"):
        trained(recipe, tmp_path, resume=True)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("names", [SHAPES.names[1:], SHAPES.names[:-1]], ids=["another first", "another last"])
def test_a_run_goes_on_with_its_own_images_only(tmp_path: Path, names: tuple[str, ...], refuses: Refuses) -> None:
    trained(narrow(), tmp_path / "all", stop=lambda: True)
    trained(narrow(), tmp_path / "some", data=SHAPES.subset(names), stop=lambda: True)
    with refuses("other images"):  # fewer than it began with
        trained(narrow(), tmp_path / "all", data=SHAPES.subset(names), resume=True)
    with refuses("other images"):  # and more
        trained(narrow(), tmp_path / "some", resume=True)


def test_a_resumed_run_remembers_what_it_started_from(tmp_path: Path) -> None:
    trained(narrow(steps=2, seed=5), tmp_path / "first")
    from_first = plan(narrow(), lambda _: SHAPES, (), init_from=tmp_path / "first" / "model")
    trained(narrow(), tmp_path / "next", at=from_first, stop=lambda: True)
    trained(narrow(), tmp_path / "next", resume=True)
    assert "first" in load_checkpoint(tmp_path / "next" / "model").record["started_from"]


def test_nothing_to_resume(tmp_path: Path, refuses: Refuses) -> None:
    with refuses(str(tmp_path), "no run to resume"):
        trained(narrow(), tmp_path, resume=True)


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        trained(small(steps=2, seed=seed), tmp_path / folder)
    first, again, other = (weights(tmp_path / folder) for folder in ("a", "b", "c"))
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    assert not torch.equal(other["decoder.score.weight"], first["decoder.score.weight"])


def test_a_loss_that_is_no_number_names_step_and_files(tmp_path: Path, refuses: Refuses) -> None:
    told: list[Progress] = []
    with refuses("the loss is not finite", "at step", "pixels ", "shapes_000", "learning_rate"):
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
    run = json.loads((tmp_path / "run.json").read_text())
    assert (run["seed"], run["started_from"], run["training_images"]) == (0, "random weights", 24)
    assert run.items() <= model.record.items()


def test_a_network_that_learned_each_class_for_itself_predicts_so(tmp_path: Path) -> None:
    trained(narrow(steps=4, link="sigmoid"), tmp_path)
    model = pixelwise.load(tmp_path, device="cpu")
    image = SHAPES[0].image
    with torch.inference_mode():
        own = model.checkpoint.network(torch.from_numpy(image).permute(2, 0, 1)[None].float())[0].sigmoid().numpy()
    assert own.std() > 0
    result = model.predict(image)
    np.testing.assert_allclose(result.probabilities(), own / own.sum(0), atol=1e-5)
    assert np.array_equal(result.labels, own.argmax(0))


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


def test_images_without_labels_to_select_by_leave_the_last_model(tmp_path: Path) -> None:
    told = trained(narrow(steps=3, hold_out=0.3, validate_every=1), tmp_path, score=lambda network, data: math.nan)
    assert [progress.best for progress in told] == [None] * 3
    assert load_checkpoint(tmp_path / "model").record["step"] == 3
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()  # which is no JSON
    assert "NaN" not in (tmp_path / "model" / "config.json").read_text()


def test_the_mean_of_the_weights_is_what_is_judged_and_kept(tmp_path: Path) -> None:
    judged: list[str] = []
    live: list[str] = []
    chosen = planned(small(steps=3, average=0.5, hold_out=0.3, validate_every=1, learning_rate=0.1))

    def score(network: Network, data: DataSet) -> float:
        assert network is not chosen.network
        judged.append(fingerprint({name: tensor.clone() for name, tensor in network.state_dict().items()}))
        live.append(fingerprint(chosen.network.state_dict()))
        return len(judged) / 10

    trained(chosen.recipe, tmp_path, score=score, at=chosen)
    assert len(set(judged)) == 3
    assert judged[0] == live[0]  # after one step there is nothing else to average
    assert judged[1:] != live[1:]
    assert fingerprint(load_checkpoint(tmp_path / "model").network.state_dict()) == judged[-1] != live[-1]


def test_16_bit_arithmetic_learns_too_and_in_one_process_with_the_other(tmp_path: Path) -> None:
    for precision in ("bf16", "no"):
        recipe = small(steps=8, precision=precision, learning_rate=0.05, scale=(1, 1), flip=0, brightness=0)
        told = trained(recipe, tmp_path / precision, data=SHAPES.subset(SHAPES.names[:2]))
        assert told[-1].loss < 0.9 * told[0].loss
    halves, wholes = weights(tmp_path / "bf16"), weights(tmp_path / "no")
    assert {tensor.dtype for tensor in halves.values()} == {tensor.dtype for tensor in wholes.values()}
    assert not torch.equal(halves["decoder.score.weight"], wholes["decoder.score.weight"])


@pytest.mark.parametrize(
    "options",
    [
        {"class_weights": "median_frequency"}, {"class_weights": "effective_number"}, {"hardest": 0.3}, {"smoothing": 0.1},
        {"optimiser": "adamw", "learning_rate": 0.003}, {"average": 0.5}, {"clip": 1.0}, {"accumulate": 2},
        {"backbone_rate": 0.5, "last_rate": 2, "bias_rate": 2}, {"schedule": "cosine"}, {"schedule": "step"},
    ],
    ids=str,
)  # fmt: skip
def test_every_way_of_learning_learns(tmp_path: Path, options: dict) -> None:
    recipe = small(**{"steps": 10, "learning_rate": 0.03, "scale": (1, 1), "flip": 0, "brightness": 0} | options)
    told = trained(recipe, tmp_path, data=SHAPES.subset(SHAPES.names[:2]))
    assert told[-1].loss < 0.9 * told[0].loss


@pytest.mark.parametrize(("steps", "momentum"), [(60, 0.1), (200, 0.1), (1000, 0.02), (2000, 0.01), (9000, 0.01)])
def test_statistics_keep_up_with_a_short_run(steps: int, momentum: float) -> None:
    learner = build_learner(planned(small(steps=steps)), torch.device("cpu"))
    norms = {
        part: {module.momentum for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)}
        for part, network in (("trunk", learner.network.backbone), ("new", learner.network.decoder))
    }
    assert norms == {"trunk": {momentum}, "new": {0.1}}  # which is torch's own, for the new layers


def test_a_batch_too_small_for_the_processes_is_refused(refuses: Refuses) -> None:
    chosen = planned(narrow(batch_size=2))
    assert len(build_batches(chosen, 1, 2)[0].names) == 1
    with refuses("a batch of 2 cannot be shared by 3 processes", "batch_size"):
        build_batches(chosen, 2, 3)
