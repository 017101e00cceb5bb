"""`pixelwise models` and `pixelwise recipes`."""

import json

import pytest

from pixelwise.models.published import create_model, list_models
from pixelwise.training.recipe import list_recipes


def test_models_with_their_sizes(pixelwise):
    report = json.loads(pixelwise("models", "--json").out)
    assert list(report) == list_models()
    counted = sum(parameter.numel() for parameter in create_model("fcn8s_lite0", 21).parameters())
    assert report["fcn8s_lite0"] == {"parameters": counted}


@pytest.mark.parametrize(("pattern", "names"), [("*_lite0", 3), ("fcn8s_lite0", 1)])
def test_models_by_a_pattern(pattern, names, pixelwise):
    lines = pixelwise("models", pattern).out.splitlines()
    assert len(lines) == names
    assert all(line.split()[0].endswith("_lite0") and "M parameters" in line for line in lines)


def test_recipes_with_what_they_are_for(pixelwise):
    report = json.loads(pixelwise("recipes", "--json").out)
    assert set(report) == set(list_recipes()) >= {"laptop", "animals"}
    assert all(report.values())
    lines = pixelwise("recipes").out.splitlines()
    assert {line.split()[0] for line in lines} == set(report)


def test_version(pixelwise):
    from pixelwise import __version__

    assert pixelwise("--version").out == f"pixelwise {__version__}\n"
