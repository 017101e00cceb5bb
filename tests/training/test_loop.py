"""One step and what surrounds it: joined batches, clipping, stopping, and scores that say nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from tests.conftest import Refuses
from tests.training.trainings import SHAPES, narrow, still_network, trained

from pixelwise.data.augment import Augmentation
from pixelwise.data.batches import Batch, Batches
from pixelwise.data.shapes import Shapes
from pixelwise.labels import IGNORE, MAIN
from pixelwise.models.network import Network
from pixelwise.training.loop import Cadence, Learner, Progress, learn, train
from pixelwise.training.losses import Loss
from pixelwise.training.objectives import PixelObjective, Trainee
from pixelwise.training.optimiser import Rates, create_optimiser, parameter_groups
from pixelwise.training.recipe import Recipe
from pixelwise.training.run import create_accelerator
from pixelwise.training.schedule import RateFactor
from pixelwise.training.states import States

RATE = 1e-3
VIEWS = Augmentation(crop=48)
PARTLY = SHAPES.with_classes(("disc", "square", "triangle"))  # the background is ignored: more here than there
KINDS = {
    "plain": PixelObjective(),
    "weighted": PixelObjective(Loss((0.2, 1.0, 3.0))),
    "smoothed": PixelObjective(Loss(smoothing=0.1)),
}


def batches(size: int) -> Batches:
    return Batches(PARTLY, size, VIEWS, (0.0, 0.0, 0.0), seed=4)


def learner(network: Network, objective: PixelObjective, *, steps: int, rate: float = RATE) -> Learner:
    groups = parameter_groups(network, Rates(rate, 1e-3))
    return Learner(network, objective, create_optimiser("sgd", groups, 0.9), RateFactor("constant", steps), rate)


def gone_through(folder: Path, taught: Learner, size: int, cadence: Cadence, **options: Callable) -> list[Progress]:
    told: list[Progress] = []
    accelerator = create_accelerator("no")
    given = {"validate": None, "keep": lambda network, progress: None, "watch": told.append}
    train(
        taught,
        lambda first, last: batches(size).loader(first, last, workers=0),
        accelerator,
        States(accelerator, folder),
        cadence,
        **{**given, **options},
    )
    return told


def gradients(
    objective: PixelObjective, group: Iterable[Batch]
) -> tuple[dict[str, torch.Tensor], dict[str, float], float]:
    accelerator = create_accelerator("no")
    trainee = Trainee(still_network(3), objective)
    parts, weight = learn(accelerator, trainee, objective, [batch.to(accelerator.device) for batch in group])
    return {name: p.grad for name, p in trainee.named_parameters() if p.grad is not None}, parts, weight


def same(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], relative: float) -> None:
    """Alike as one long vector; a tensor of two numbers may differ by more of its own."""
    assert got.keys() == expected.keys()
    joined, theirs = (torch.cat([of[name].detach().flatten() for name in expected]) for of in (expected, got))
    assert (theirs - joined).norm() <= relative * joined.norm()
    for name, tensor in expected.items():
        assert (got[name] - tensor).norm() <= 10 * relative * tensor.norm(), name


@pytest.mark.parametrize("kind", KINDS)
def test_two_batches_of_4_give_the_gradient_of_one_of_8(kind: str) -> None:
    counts = [int((batches(4)[number].labels[MAIN] != IGNORE).sum()) for number in (0, 1)]
    assert abs(counts[0] - counts[1]) > 0.4 * sum(counts)  # else the test would say little
    joined, parts, weight = gradients(KINDS[kind], [batches(8)[0]])
    got, their_parts, their_weight = gradients(KINDS[kind], [batches(4)[0], batches(4)[1]])
    assert (their_parts, their_weight) == (pytest.approx(parts, rel=1e-5), pytest.approx(weight, rel=1e-6))
    same(got, joined, 1e-5)


def test_accumulating_trains_like_the_larger_batch(tmp_path: Path) -> None:
    once, twice = still_network(3), still_network(3)
    first = gone_through(tmp_path / "1", learner(once, PixelObjective(), steps=3), 8, Cadence(3, 9, 9))
    second = gone_through(tmp_path / "2", learner(twice, PixelObjective(), steps=3), 4, Cadence(3, 9, 9, accumulate=2))
    assert [p.loss for p in second] == pytest.approx([p.loss for p in first], rel=1e-5)
    same(dict(twice.named_parameters()), dict(once.named_parameters()), 1e-5)


def test_a_weight_below_1_divides_like_any_other() -> None:
    # the mean does not depend on the unit in which classes are weighed
    light, heavy = PixelObjective(Loss((1e-6, 2e-6, 3e-6))), PixelObjective(Loss((1.0, 2.0, 3.0)))
    same(gradients(light, [batches(2)[0]])[0], gradients(heavy, [batches(2)[0]])[0], 1e-4)


def test_a_step_without_labels_teaches_nothing() -> None:
    batch = batches(2)[0]
    blank = Batch(batch.images, {MAIN: torch.full_like(batch.labels[MAIN], IGNORE)}, batch.names)
    for objective in (*KINDS.values(), PixelObjective(Loss(hardest=0.5))):
        got, parts, weight = gradients(objective, [blank])
        assert (parts, weight) == ({"pixels": 0.0}, 0.0)
        assert not any(gradient.any() for gradient in got.values())


def test_clipping_bounds_the_norm_of_the_joint_gradient(tmp_path: Path) -> None:
    def moved(clip: float | None) -> float:
        network, before = still_network(3), still_network(3)
        taught = learner(network, PixelObjective(), steps=1)
        for group in taught.optimiser.param_groups:
            group["weight_decay"] = 0.0
        gone_through(tmp_path / f"{clip}", taught, 4, Cadence(1, 9, 9, clip=clip))
        pairs = zip(network.parameters(), before.parameters(), strict=True)
        return math.sqrt(sum(float((one - other).detach().norm()) ** 2 for one, other in pairs)) / RATE

    free = moved(None)
    assert free > 0.02
    assert moved(0.01) == pytest.approx(0.01, rel=1e-2)
    assert moved(10 * free) == pytest.approx(free, rel=1e-4)


def test_stopping_leaves_after_the_step_with_a_saved_state(tmp_path: Path) -> None:
    told: list[Progress] = []
    taught = learner(still_network(3), PixelObjective(), steps=9)
    gone_through(tmp_path, taught, 2, Cadence(9, 99, 99), watch=told.append, stop=lambda: len(told) == 3)
    assert [progress.step for progress in told] == [1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]
    again = gone_through(tmp_path, learner(still_network(3), PixelObjective(), steps=9), 2, Cadence(9, 99, 99))
    assert [progress.step for progress in again] == [4, 5, 6, 7, 8, 9]


def test_what_is_minimised_after_clipping_is_told_before_it(tmp_path: Path) -> None:
    told = gone_through(tmp_path, learner(still_network(3), PixelObjective(), steps=2), 2, Cadence(2, 9, 9, clip=1e-9))
    assert told[0].parts == {"pixels": told[0].loss}
    assert told[0].rate == RATE


def test_a_score_that_says_nothing_is_no_best(tmp_path: Path) -> None:
    scores = iter((math.nan, 0.25, math.nan, 0.5, 0.125))
    kept: list[tuple[int, float | None]] = []
    taught = learner(still_network(3), PixelObjective(), steps=5)
    told = gone_through(
        tmp_path, taught, 2, Cadence(5, 1, 9),
        validate=lambda network: next(scores), keep=lambda network, progress: kept.append((progress.step, progress.score)),
    )  # fmt: skip
    assert [progress.best for progress in told] == [None, 0.25, 0.25, 0.5, 0.5]
    assert [progress.score for progress in told] == [None, 0.25, None, 0.5, 0.125]
    assert kept == [(2, 0.25), (4, 0.5)]
    assert (taught.factor.best, taught.factor.waited) == (0.5, 1)


def test_where_no_score_came_the_last_network_is_kept(tmp_path: Path) -> None:
    kept: list[int] = []
    gone_through(
        tmp_path, learner(still_network(3), PixelObjective(), steps=3), 2, Cadence(3, 1, 9),
        validate=lambda network: math.nan, keep=lambda network, progress: kept.append(progress.step),
    )  # fmt: skip
    assert kept == [3]


def test_blank_steps_are_counted_over_a_resume(tmp_path: Path, refuses: Refuses) -> None:
    only = "shapes_00000"
    blank = SHAPES.subset((only,)).with_classes([name for name in SHAPES.label_spec.names if name not in _in(only)])
    recipe = narrow(steps=4, save_every=1, batch_size=1, workers=0)
    with refuses("no labelled pixel in the 4 steps up to now", only, "pixelwise check"):
        _in_two(recipe, tmp_path / "blank", blank)
    _in_two(recipe, tmp_path / "labelled", PARTLY)


def _in(name: str) -> set[str]:
    labels = SHAPES.subset((name,))[0].labels[MAIN]
    return {SHAPES.label_spec.names[index] for index in set(labels.flatten().tolist()) - {IGNORE}}


def _in_two(recipe: Recipe, folder: Path, data: Shapes) -> None:
    told: list[Progress] = []
    trained(recipe, folder, data=data, watch=told.append, stop=lambda: len(told) == 2)
    trained(recipe, folder, data=data, resume=True)


def test_the_accelerator_may_be_made_again() -> None:
    for precision in ("no", "bf16", "no"):
        accelerator = create_accelerator(precision)
        assert isinstance(accelerator, Accelerator)
        assert accelerator.mixed_precision == precision
