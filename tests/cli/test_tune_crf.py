"""`pixelwise tune-crf`: a preset's file that the other verbs take, chosen on images that nobody reports on."""

import dataclasses
import json

import pytest
import torch
from tests.cli.conftest import NARROW, tree

from pixelwise.data.dataset import hold_out
from pixelwise.data.layouts import open_data
from pixelwise.data.shapes import LABEL_SPEC
from pixelwise.refinement import tune
from pixelwise.refinement.presets import read_preset
from pixelwise.training.folder import names_hash
from pixelwise.weights.checkpoint import Checkpoint, save_checkpoint


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """A search of few steps: the whole one is tested with its parts."""
    monkeypatch.setattr(tune, "COARSE", {"bilateral_weight": (2.0, 5.0)})
    monkeypatch.setattr(tune, "RATIOS", (1.5,))


def test_a_preset_is_written_that_evaluate_takes(pixelwise, model, data, tmp_path):
    answer = pixelwise("tune-crf", model, data, "--part", 0.4, "--out", tmp_path / "mine.yaml")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0].startswith("mean IoU")
    assert any(line.endswith("without a CRF") for line in lines)
    assert lines[-1] == str(tmp_path / "mine.yaml")
    assert "whether the model has learned from these is not known" in answer.err
    preset = read_preset(tmp_path / "mine.yaml")
    assert preset.source.startswith("tuned on ")
    assert "split train, for narrow: mean IoU 0." in preset.source
    assert pixelwise("evaluate", model, data, "--crf", tmp_path / "mine.yaml").code == 0


def test_the_json_has_the_scores_and_the_parameters(pixelwise, model, data, tmp_path):
    answer = pixelwise("tune-crf", model, data, "--part", 1, "--images", 3, "--out", tmp_path / "mine.yaml", "--json")
    report = json.loads(answer.out)
    assert (report["images"], report["preset"]) == (3, str(tmp_path / "mine.yaml"))
    # A grid of two, one of which is the first preset; two sides of five parameters; and these together, if that is new.
    assert report["settings"] in (2 + 10, 2 + 10 + 1)
    assert report["parameters"] == dataclasses.asdict(read_preset(tmp_path / "mine.yaml"))
    assert set(report) >= {"mean_iou", "cross_validated", "without_crf"}


@pytest.mark.parametrize("learned", ["rest", "all"])
def test_says_whether_the_model_knows_the_images(learned, pixelwise, data, tmp_path):
    train = open_data(data, "train")
    names = hold_out(train, 0.4)[0].names if learned == "rest" else train.names
    torch.manual_seed(0)
    record = {"recipe": {}, "training_ids_sha256": names_hash(names)}
    save_checkpoint(tmp_path / "known", Checkpoint(NARROW.build(), NARROW, LABEL_SPEC, record))
    answer = pixelwise("tune-crf", tmp_path / "known", data, "--part", 0.4, "--out", tmp_path / "mine.yaml")
    said = {"rest": "the model has not learned from these", "all": "the model has learned from these"}[learned]
    assert said in answer.err
    assert said in read_preset(tmp_path / "mine.yaml").source


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--split", "val"), "--split val: numbers are reported on it"),
        (("--split", "all"), "--split all: numbers are reported on it"),
        (("--split", "trian"), "no split 'trian'; did you mean 'train'?"),
        (("--part", 0), "--part: expected a part above 0 and up to 1, got 0"),
        (("--part", 1.5), "--part: expected a part above 0 and up to 1, got 1.5"),
        (("--images", 1), "expected at least 2 images to tune on, got 1"),
        (("--start", "deeplab"), "unknown CRF preset 'deeplab': did you mean 'deeplab_v1'?"),
        (("--out", "mine.txt"), "--out mine.txt: expected a file ending in .yaml"),
    ],
)
def test_mistakes_are_one_line(words, said, pixelwise, model, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    assert said in pixelwise("tune-crf", model, data, "--part", 0.4, *words).complaint
    assert tree(tmp_path) == before
