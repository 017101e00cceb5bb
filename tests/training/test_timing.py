"""Minutes into steps: measured apart, so that nothing of it is seen in the run."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.trainings import fingerprint, narrow, planned, small, trained, weights

from pixelwise.training import timing
from pixelwise.training.timing import TIMED_STEPS, fitted, steps_in


def random_state() -> str:
    return fingerprint([torch.random.get_rng_state(), random.getstate(), np.random.get_state()])


@pytest.mark.parametrize("recipe", [narrow(average=0.9, accumulate=2), small(optimiser="adamw", workers=1)])
def test_timing_leaves_plan_and_random_state_as_they_were(recipe) -> None:
    plan = planned(recipe)
    before = fingerprint(plan.network.state_dict()), random_state(), plan.network.training
    assert steps_in(plan, 0.5) >= 1
    assert (fingerprint(plan.network.state_dict()), random_state(), plan.network.training) == before
    assert all(parameter.grad is None for parameter in plan.network.parameters())


def test_a_run_after_timing_equals_one_that_was_given_its_steps(tmp_path: Path) -> None:
    timed = planned(narrow(average=0.9))  # it has dropout, so the random state counts
    steps_in(timed, 0.1)
    trained(narrow(average=0.9), tmp_path / "timed", at=timed)
    trained(narrow(average=0.9), tmp_path / "given")
    expected, got = weights(tmp_path / "given"), weights(tmp_path / "timed")
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(("minutes", "measured"), [(20, 20), (10, 13), (1, 6)])
def test_a_minute_holds_as_many_steps_as_it_should(
    minutes: float, measured: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty steps are measured, or those of a tenth of the time, but one behind the slow ones at least."""
    # the clock, asked at the start and end of each step: 9 s for each of the first five, 2 s for the others
    ends = np.cumsum([9.0] * 5 + [2.0] * 15)
    starts = np.concatenate([[0], ends[:-1]])
    readings = iter(np.stack([starts, ends], axis=1).ravel().tolist())
    monkeypatch.setattr(timing.time, "monotonic", lambda: next(readings, 0.0))
    learned: list[object] = []
    monkeypatch.setattr(timing, "learn", lambda *_: learned.append(0))
    monkeypatch.setattr(torch.optim.SGD, "step", lambda *_: None)
    assert steps_in(planned(narrow()), minutes) == round(0.9 * 60 * minutes / 2)
    assert len(learned) == measured <= TIMED_STEPS


def test_there_is_at_least_one_step() -> None:
    assert steps_in(planned(narrow()), 1e-9) == 1


def test_the_recipe_fits_its_steps() -> None:
    recipe = fitted(narrow(warmup=50, save_every=200), 400)
    assert (recipe.steps, recipe.validate_every, recipe.save_every, recipe.warmup) == (400, 80, 40, 40)
    recipe = fitted(narrow(warmup=50, save_every=200), 10_000)
    assert (recipe.steps, recipe.validate_every, recipe.save_every, recipe.warmup) == (10_000, 2000, 200, 50)
    recipe = fitted(narrow(warmup=50), 1)
    assert (recipe.steps, recipe.validate_every, recipe.save_every, recipe.warmup) == (1, 1, 1, 0)
