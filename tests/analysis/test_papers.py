"""The papers' experiments: what they print is what the recipes expect, and every one of their trainings can be planned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from tests.conftest import Refuses

from pixelwise.analysis.papers import PAPERS, reproduction_of
from pixelwise.data.shapes import Shapes
from pixelwise.training.demands import meet_demands
from pixelwise.training.plan import choose_samples
from pixelwise.training.recipe import list_recipes
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig
from pixelwise.weights.surgery import take_over

HED = Path(__file__)
"""Any file: nothing reads it here."""

SIZES = {
    f"{paper} {'small' if small else 'full'}": reproduction_of(paper, small)
    for paper in PAPERS
    for small in (False, True)
}
SIZES["deconvnet on photographs"] = reproduction_of("deconvnet", small=True, hed=HED)
OTHERWISE = {
    # GDN's baselines are of its own, and v2's tables 2 and 3 have two runs of one training.
    ("gdn", "FCN-32s"), ("gdn", "DL-LargeFOV"), ("deeplab", "LargeFOV"), ("deeplab", "LargeFOV, CRF"),
    # DeconvNet's FCN-8s is an older one, on VOC 2012 test; its CRF and its ensemble have no recipe.
    ("deconvnet", "FCN-8s"), ("deconvnet", "DeconvNet + CRF"), ("deconvnet", "EDeconvNet"), ("deconvnet", "EDeconvNet + CRF"),
}  # fmt: skip


@pytest.mark.parametrize("paper", PAPERS)
def test_the_published_numbers_are_those_that_the_recipes_expect(paper: str) -> None:
    of, files = reproduction_of(paper, small=False), list_recipes()
    recipes = {one.name: one.recipe if isinstance(one.recipe, str) else one.recipe[-1] for one in of.trainings}
    compared = 0
    for table in of.tables:
        for row in table.rows:
            if row.system is None or row.published is None or (paper, row.name) in OTHERWISE:
                continue
            training = {"gdn_and_fc": "fc", "by_proposals": "deconvnet"}.get(
                row.system, row.system.removesuffix("_crf")
            )
            head = files[recipes[training]].read_text(encoding="utf-8")
            (expected,) = re.findall(r"^# Expected: (.*)$", head, re.MULTILINE)
            numbers = [float(number) for number in re.findall(r"\b\d\d?\.\d+\b", expected.split("(")[0])]
            assert numbers[-1 if row.system.endswith("_crf") else 0] == row.published, (row, expected)
            compared += 1
    assert compared >= (1 if paper == "deconvnet" else 5)


@pytest.mark.parametrize("size", SIZES)
def test_every_training_starts_from_what_it_can_take_over(size: str) -> None:
    of, spec = SIZES[size], Shapes().label_spec
    recipes = {training.name: training.recipes()[0] for training in of.trainings}
    configs = {name: NetworkConfig(one.network, len(spec), one.options) for name, one in recipes.items()}
    for training in of.trainings:
        meet_demands(recipes[training.name], configs[training.name])
        assert (recipes[training.name].init == "model") == (training.after is not None), training
        if training.after is not None:
            with torch.device("meta"):  # shapes without memory
                ours, theirs = configs[training.name].build(), configs[training.after].build()
            begun = Checkpoint(theirs, configs[training.after], spec)
            assert take_over(ours, configs[training.name], spec, begun, where="begun").startswith("begun")


@pytest.mark.parametrize("paper", PAPERS)
def test_small_and_full_fill_the_same_tables(paper: str) -> None:
    small, full = (reproduction_of(paper, size) for size in (True, False))
    assert [table.rows for table in small.tables] == [table.rows for table in full.tables]
    assert list(small.systems) == list(full.systems)
    if paper == "deconvnet":  # ten windows and not fifty, and FCN-8s at once
        return
    assert small.systems == full.systems
    assert [(one.name, one.recipe) for one in small.trainings] == [(one.name, one.recipe) for one in full.trainings]


@pytest.mark.parametrize("paper", PAPERS)
def test_a_small_one_takes_any_data_and_no_weights(paper: str) -> None:
    data = Shapes(20)
    for training in reproduction_of(paper, small=True).trainings:
        for recipe in training.recipes():
            learned, selection = choose_samples(recipe, data.split, data.splits)
            assert list(learned.names) == list(data.split("train").names)
            assert selection is None
            assert recipe.init in ("none", "model")
    assert all(table.split == "val" for table in reproduction_of(paper, small=True).tables)


def test_another_paper_is_refused(refuses: Refuses) -> None:
    with refuses("unknown paper 'gnd': did you mean 'gdn'?"):
        reproduction_of("gnd", small=True)
