"""`pixelwise models` and `pixelwise recipes`."""

import json

import pytest

from pixelwise.models.facts import describe
from pixelwise.models.published import list_models
from pixelwise.training.recipe import list_recipes


def test_models_with_their_facts(pixelwise):
    report = json.loads(pixelwise("models", "--json").out)
    assert list(report) == list_models()
    facts = describe("fcn8s_lite0")
    assert report["fcn8s_lite0"] == {
        "parameters": facts.parameters,
        "multiply_adds": facts.multiply_adds,
        "size": [500, 500],
        "stride": 8,
        "receptive_field": facts.receptive_field,
        "sizes": "any",
    }


def test_models_in_columns(pixelwise):
    lines = pixelwise("models", "*32s_vgg16").out.splitlines()
    titles, rows = lines[0], lines[1 : lines.index("")]
    assert [row.split()[0] for row in rows] == ["fcn32s_vgg16", "gdn_fcn32s_vgg16", "gdn_fc_fcn32s_vgg16"]
    assert rows[0].split()[1:] == ["134.3", "M", "180.9", "G", "500x500", "32", "404", "any"]
    for title in ("parameters", "multiply-adds", "at", "stride", "field"):
        end = titles.index(title) + len(title)
        assert all(row[end - 1] != " " and row[end : end + 1] == " " for row in rows), title
    sides = titles.index("sides")
    assert [row[sides:] for row in rows] == ["any", "up to 500", "up to 500"]
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(("pattern", "names"), [("fcn*_lite0", 3), ("fcn8s_lite0", 1)])
def test_models_by_a_pattern(pattern, names, pixelwise):
    lines = pixelwise("models", pattern).out.splitlines()
    rows = lines[1 : lines.index("")]
    assert len(rows) == names
    assert all(row.split()[0].endswith("_lite0") for row in rows)


def test_recipes_with_what_they_are_for(pixelwise):
    report = json.loads(pixelwise("recipes", "--json").out)
    assert set(report) == set(list_recipes()) >= {"laptop", "animals"}
    assert all(report.values())
    lines = pixelwise("recipes").out.splitlines()
    assert {line.split()[0] for line in lines} == set(report)


def test_version(pixelwise):
    from pixelwise import __version__

    assert pixelwise("--version").out == f"pixelwise {__version__}\n"
