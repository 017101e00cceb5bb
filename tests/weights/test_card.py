"""Cards: the head that a hub reads, and the facts that the record gives."""

from __future__ import annotations

import pytest
import yaml

from pixelwise.labels import LabelSpec
from pixelwise.weights.card import imported_card, model_card
from pixelwise.weights.checkpoint import NetworkConfig

CONFIG, SPEC = NetworkConfig("fcn8s_lite0", 2), LabelSpec(("ground", "cat"))
TRAINED = {
    "pixelwise": "0.1",
    "selection_score": 0.5,
    "selection_images": 7,
    "started_from": "random weights",
    "training_images": 1234,
    "training_ids_sha256": "abc",
    "recipe": {"steps": 3, "terms": ""},
    "step": 3,
    "minutes": 0.2,
    "machine": "a laptop",
    "torch": "2.6",
}
IMPORTED = {
    "pixelwise": "0.1",
    "imported_from": {"a.caffemodel": "abc", "w0.npy": "def"},
    "started_from": "a.caffemodel, imported whole",
    "notes": ["train it first", "and well"],
}
CARDS = {"trained": model_card(CONFIG, SPEC, TRAINED), "imported": imported_card(CONFIG, SPEC, IMPORTED)}


def facts_of(card: str) -> list[tuple[str, str]]:
    lines = [line.removeprefix("* **") for line in card.splitlines() if line.startswith("* **")]
    return [(name, fact) for name, _, fact in (line.partition(":** ") for line in lines)]


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_every_card_has_the_head_that_hubs_read_a_title_and_its_use(card: str) -> None:
    nothing, head, text = card.split("---\n")
    assert nothing == ""
    assert yaml.safe_load(head) == {
        "library_name": "pixelwise", "pipeline_tag": "image-segmentation", "tags": ["fcn8s_lite0"],
    }  # fmt: skip
    assert text.startswith("\n# fcn8s_lite0, 2 classes\n\n")
    assert "\n\nUse it: `pixelwise predict THIS_FOLDER photo.jpg --out predictions`\n" in text
    assert ("Classes", "ground, cat") in facts_of(card)


def test_a_trained_models_card() -> None:
    facts = dict(facts_of(CARDS["trained"]))
    assert list(facts) == ["Classes", "Started from", "Trained on", "Score", "Terms of use", "Took"]
    assert facts["Trained on"] == "1,234 images (SHA-256 of the sorted names: `abc`)"
    assert facts["Score"].startswith("mean IoU 0.5000 on 7 selection images")
    assert facts["Terms of use"] == "not stated"
    assert facts["Took"] == "3 steps, 0.2 minutes on a laptop; torch 2.6"
    assert CARDS["trained"].endswith("\n\n## Recipe\n\n```yaml\nsteps: 3\nterms: ''\n```\n")


def test_an_imported_models_card() -> None:
    assert facts_of(CARDS["imported"]) == [
        ("From", "`a.caffemodel` (SHA-256 `abc`)"),
        ("From", "`w0.npy` (SHA-256 `def`)"),
        ("What was taken", "a.caffemodel, imported whole"),
        ("Classes", "ground, cat"),
        ("Terms of use", "those of whoever published the file"),
        ("Note", "train it first"),
        ("Note", "and well"),
    ]
