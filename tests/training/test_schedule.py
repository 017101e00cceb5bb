"""The learning rate's factor at steps worked out by hand, alone and in torch's schedule."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from pixelwise.training.schedule import RateFactor


def rates(factor: RateFactor, steps: int, rate: float = 1.0) -> list[float]:
    """What an optimiser learns at, step by step."""
    optimiser = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": rate}])
    schedule = LambdaLR(optimiser, factor)
    seen = []
    for _ in range(steps):
        seen.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    return seen


def test_constant_by_hand() -> None:
    assert rates(RateFactor("constant", 7), 7, rate=0.3) == [0.3] * 7


def test_poly_by_hand() -> None:
    # (1 - step / 10) ** 2, times 0.5
    squared = rates(RateFactor("poly", 10, power=2), 10, rate=0.5)
    assert squared[:3] == pytest.approx([0.5, 0.405, 0.32])
    assert squared[-1] == pytest.approx(0.005)
    # DeepLab's power: 0.5 ** 0.9 halfway
    assert rates(RateFactor("poly", 10), 10)[5] == pytest.approx(0.535887, abs=1e-6)


def test_step_by_hand() -> None:
    factor = RateFactor("step", 10, milestones=(0.35, 0.8), drop=0.5)  # the first step at or after 3.5, and step 8
    assert rates(factor, 10) == pytest.approx([1.0] * 4 + [0.5] * 4 + [0.25] * 2)


def test_cosine_by_hand() -> None:
    seen = rates(RateFactor("cosine", 8), 8, rate=2.0)
    assert (seen[0], seen[2], seen[4]) == pytest.approx((2.0, 1 + math.sqrt(0.5), 1.0))
    assert seen == sorted(seen, reverse=True)
    assert RateFactor("cosine", 8)(8) == pytest.approx(0)


def test_plateau_drops_after_so_many_validations_without_a_better_score() -> None:
    factor = RateFactor("plateau", 100, drop=0.1, patience=2)
    seen = []
    for score in (0.5, 0.4, 0.6, 0.6, 0.5, 0.7, 0.1, 0.2, 0.3, 0.4):
        factor.observe(score)
        seen.append(factor(50))
    # 0.6 and 0.5 are no better than 0.6: the first drop; 0.7 is better; then two pairs that are not
    assert seen == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001])


@pytest.mark.parametrize("kind", ["constant", "step", "poly", "cosine", "plateau"])
def test_every_kind_rises_over_the_warmup(kind: str) -> None:
    rising, at_once = RateFactor(kind, 40, warmup=3), RateFactor(kind, 40)  # type: ignore[arg-type]
    for step in range(40):
        assert rising(step) == pytest.approx(min(1, (step + 1) / 4) * at_once(step))
    assert rates(RateFactor("constant", 10, warmup=3), 10) == pytest.approx([0.25, 0.5, 0.75, *[1.0] * 7])
    assert rates(RateFactor("poly", 10, warmup=1, power=1), 3) == pytest.approx([0.5, 0.9, 0.8])


def test_groups_keep_their_proportion() -> None:
    optimiser = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 0.1}, {"params": [torch.zeros(1)], "lr": 1.0}])
    schedule = LambdaLR(optimiser, RateFactor("poly", 4, power=1))
    optimiser.step()
    schedule.step()
    assert schedule.get_last_lr() == pytest.approx([0.075, 0.75])


def test_a_plateau_goes_on_where_it_was_saved() -> None:
    def begun() -> tuple[RateFactor, LambdaLR]:
        factor = RateFactor("plateau", 100, drop=0.5, patience=2)
        schedule = LambdaLR(torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 1.0}]), factor)
        schedule.optimizer.step()
        return factor, schedule

    first, saved = begun()
    for score in (0.5, 0.4, 0.3, 0.2):  # one drop, and one of two waits for the next
        first.observe(score)
    second, schedule = begun()
    schedule.load_state_dict(saved.state_dict())
    assert (second.best, second.waited, second.drops) == (0.5, 1, 1)
    second.observe(0.1)
    schedule.step()
    assert schedule.get_last_lr() == [0.25]
