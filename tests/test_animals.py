"""The model that comes with the repository: what its card says of it holds."""

import hashlib
import json
from pathlib import Path

import pytest

from pixelwise.data.layouts import open_data
from pixelwise.evaluation.evaluate import evaluate, match_classes
from pixelwise.inference.loading import load
from pixelwise.inference.model import Model

ROOT = Path(__file__).parents[1]
ANIMALS = ROOT / "models" / "animals"
PHOTOGRAPHS = ROOT / "examples" / "photographs"


@pytest.fixture(scope="module")
def animals() -> Model:
    return load("animals")


def training_ids() -> list[str]:
    return (ANIMALS / "training_ids.txt").read_text().split()


def test_it_is_small():
    assert sum(file.stat().st_size for file in ANIMALS.iterdir()) <= 12e6


def test_its_classes_and_terms_travel_with_it(animals, caplog):
    assert animals.label_spec.names == ("background", "cat", "cow", "dog", "horse", "sheep", "person")
    load("animals")
    assert "research" in caplog.text


def test_the_ids_it_learned_from_are_those_of_its_record():
    record = json.loads((ANIMALS / "config.json").read_text())["record"]
    ids = training_ids()
    assert len(ids) == record["training_images"]
    assert hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest() == record["training_ids_sha256"]


@pytest.mark.parametrize("heading", ["Data", "Terms", "Recipe", "Figures", "Limits"])
def test_its_card_has_every_part(heading):
    assert f"\n## {heading}\n" in (ANIMALS / "README.md").read_text(encoding="utf-8")


def test_it_finds_the_cat_where_the_cat_is(animals):
    labels = animals.predict(PHOTOGRAPHS / "cat.jpg").labels
    cat = labels == animals.label_spec.names.index("cat")
    assert cat[100:250, 150:300].mean() > 0.9  # face and chest
    assert cat[30:90, :20].mean() < 0.1  # the wall behind it, on both sides
    assert cat[:200, 420:].mean() < 0.1  # further down the model spreads, as its card says


def test_it_finds_the_astronaut_where_she_is(animals):
    labels = animals.predict(PHOTOGRAPHS / "astronaut.jpg").labels
    person = labels == animals.label_spec.names.index("person")
    assert person[60:160, 180:270].mean() > 0.9  # her face
    assert person[:100, 400:].mean() < 0.1  # the shuttle behind her


def test_no_picture_it_is_measured_on_was_learned_from(real_data):
    val = open_data(real_data / "voc2012_subset", "val")
    assert len(val) == 445
    assert not set(val.names) & set(training_ids())


@pytest.mark.slow
def test_its_figure_on_val(animals, real_data):
    val = match_classes(open_data(real_data / "voc2012_subset", "val"), animals.label_spec.names).data
    mean_iou = evaluate(animals.predictor, val).measures().mean_iou
    told = json.loads((ANIMALS / "figures.json").read_text())["mean_iou"]
    assert mean_iou >= 0.74
    assert mean_iou == pytest.approx(told, abs=5e-4)  # arithmetic differs a little between machines
