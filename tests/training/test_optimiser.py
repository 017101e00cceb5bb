"""Which parameters learn, how fast, and which of them decay."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import nn

from pixelwise.models.network import Network
from pixelwise.models.published import create_model, list_models
from pixelwise.training.optimiser import Rates, create_optimiser, parameter_groups


def built(name: str) -> Network:
    with torch.device("meta"):
        return create_model(name, 21)


def by_name(network: Network, rates: Rates) -> dict[str, dict[str, Any]]:
    groups = parameter_groups(network, rates)
    assert len({group["name"] for group in groups}) == len(groups)
    return {group["name"]: group for group in groups}


@pytest.mark.parametrize("name", list_models())
def test_every_parameter_learns_exactly_once(name: str) -> None:
    network = built(name)
    groups = parameter_groups(network, Rates(0.1, 0.01, backbone=0.5))
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    known = {f"{part} {kind}" for part, kind in product(("backbone", "new", "last"), ("weights", "norms", "biases"))}
    assert {group["name"] for group in groups} <= known
    assert all(group["params"] for group in groups)


@pytest.mark.parametrize("name", list_models())
def test_only_weights_decay_and_norms_have_groups_of_their_own(name: str) -> None:
    network = built(name)
    norms = {id(p) for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    biases = {id(p) for n, p in network.named_parameters() if n.endswith("bias")} - norms
    for group_name, group in by_name(network, Rates(0.1, 0.01)).items():
        kind = group_name.split()[1]
        ids = {id(parameter) for parameter in group["params"]}
        assert {"norms": ids <= norms, "biases": ids <= biases, "weights": ids.isdisjoint(norms | biases)}[kind]
        assert group["weight_decay"] == (0.01 if kind == "weights" else 0)


@pytest.mark.parametrize("name", ["fcn8s_lite0", "fcn8s_vgg16"])
def test_parts_learn_at_multiples_of_the_base_rate(name: str) -> None:
    network = built(name)
    groups = by_name(network, Rates(0.1, backbone=0.5, last=10, bias=2))
    trunk = {id(parameter) for parameter in network.backbone.parameters()}
    last = {id(parameter) for layer in network.last_layers for parameter in layer.parameters()}
    of_part = {"backbone": 0.5, "new": 1.0, "last": 10.0}
    of_kind = {"weights": 1.0, "norms": 1.0, "biases": 2.0}
    for group_name, group in groups.items():
        part, kind = group_name.split()
        assert group["lr"] == pytest.approx(0.1 * of_part[part] * of_kind[kind])
        for parameter in group["params"]:
            assert part == ("backbone" if id(parameter) in trunk else "last" if id(parameter) in last else "new")
    assert {"backbone weights", "last weights", "last biases"} <= groups.keys()
    assert ("backbone norms" in groups) == (name == "fcn8s_lite0")


def test_frozen_parameters_are_left_out() -> None:
    network = built("fcn8s_lite0")
    network.backbone.requires_grad_(False)
    groups = parameter_groups(network, Rates(0.1, 0.01))
    assert sum(len(group["params"]) for group in groups) == len(list(network.decoder.parameters()))
    assert not any(group["name"].startswith("backbone") for group in groups)


def test_both_optimisers_take_the_groups_settings() -> None:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": 0.3, "weight_decay": 0.1}]
    sgd, adamw = create_optimiser("sgd", groups, 0.8), create_optimiser("adamw", groups, 0.8)
    assert isinstance(sgd, torch.optim.SGD)
    assert isinstance(adamw, torch.optim.AdamW)
    assert sgd.param_groups[0]["momentum"] == adamw.param_groups[0]["betas"][0] == 0.8
    assert sgd.param_groups[0]["lr"] == adamw.param_groups[0]["lr"] == 0.3
    assert sgd.param_groups[0]["weight_decay"] == adamw.param_groups[0]["weight_decay"] == 0.1
