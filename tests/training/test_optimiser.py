"""Which parameters learn how fast, and the schedule at steps worked out by hand."""

from __future__ import annotations

import pytest
import torch

from pixelwise.models.published import create_model, list_models
from pixelwise.training.optimiser import create_optimiser, parameter_groups, poly_schedule


@pytest.mark.parametrize("name", list_models())
def test_every_parameter_learns_exactly_once(name: str) -> None:
    with torch.device("meta"):
        network = create_model(name, 21)
    groups = parameter_groups(network, 0.1, 0.01, backbone_rate=0.5)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in network.parameters()}


def test_biases_and_norms_do_not_decay_and_the_trunk_has_its_own_rate() -> None:
    with torch.device("meta"):
        network = create_model("fcn8s_lite0", 21)
    trunk = {id(parameter) for parameter in network.backbone.parameters()}
    for group in parameter_groups(network, 0.1, 0.01, backbone_rate=0.5):
        assert group["params"]
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.01 if parameter.ndim > 1 else 0)
            assert group["lr"] == (0.05 if id(parameter) in trunk else 0.1)


def test_frozen_parameters_are_left_out() -> None:
    with torch.device("meta"):
        network = create_model("fcn8s_lite0", 21)
    network.backbone.requires_grad_(False)
    groups = parameter_groups(network, 0.1, 0.01, backbone_rate=1)
    assert sum(len(group["params"]) for group in groups) == len(list(network.decoder.parameters()))


def rates(steps: int, *, power: float, warmup: int, rate: float = 1.0) -> list[float]:
    optimiser = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": rate}])
    schedule = poly_schedule(optimiser, steps, power=power, warmup=warmup)
    seen = []
    for _ in range(steps):
        seen.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    return seen


def test_the_poly_schedule_by_hand() -> None:
    # (1 - step / 10) ** 2, times 0.5
    assert rates(10, power=2, warmup=0, rate=0.5)[:3] == pytest.approx([0.5, 0.405, 0.32])
    assert rates(10, power=2, warmup=0, rate=0.5)[-1] == pytest.approx(0.005)
    # DeepLab's power: 0.5 ** 0.9 halfway
    assert rates(10, power=0.9, warmup=0)[5] == pytest.approx(0.535887, abs=1e-6)


def test_a_rate_rises_over_the_warmup() -> None:
    assert rates(10, power=0, warmup=3) == pytest.approx([0.25, 0.5, 0.75, *[1.0] * 7])
    assert rates(10, power=1, warmup=1)[:3] == pytest.approx([0.5, 0.9, 0.8])


def test_power_0_keeps_the_rate() -> None:
    assert rates(7, power=0, warmup=0, rate=0.3) == [0.3] * 7


def test_groups_keep_their_proportion() -> None:
    optimiser = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 0.1}, {"params": [torch.zeros(1)], "lr": 1.0}])
    schedule = poly_schedule(optimiser, 4, power=1, warmup=0)
    optimiser.step()
    schedule.step()
    assert schedule.get_last_lr() == pytest.approx([0.075, 0.75])


def test_both_optimisers_take_the_groups_settings() -> None:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": 0.3, "weight_decay": 0.1}]
    sgd, adamw = create_optimiser("sgd", groups, 0.8), create_optimiser("adamw", groups, 0.8)
    assert isinstance(sgd, torch.optim.SGD)
    assert isinstance(adamw, torch.optim.AdamW)
    assert sgd.param_groups[0]["momentum"] == adamw.param_groups[0]["betas"][0] == 0.8
    assert sgd.param_groups[0]["lr"] == adamw.param_groups[0]["lr"] == 0.3
    assert sgd.param_groups[0]["weight_decay"] == adamw.param_groups[0]["weight_decay"] == 0.1
