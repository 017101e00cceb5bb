"""`pixelwise train`: what a run leaves, what it learns from, and how it goes on."""

import json

import pytest
from PIL import Image
from tests.cli.conftest import FAST, tree

from pixelwise.data.shapes import Shapes


def test_a_run_leaves_a_model_that_the_other_verbs_take(pixelwise, data, tmp_path):
    run = tmp_path / "run"
    answer = pixelwise("train", data, *FAST, "--out", run)
    assert answer.code == 0, answer.err
    assert answer.out == f"{run / 'model'}\n"
    assert {path.name for path in run.iterdir()} >= {"recipe.yaml", "training_ids.txt", "model", "states"}
    assert pixelwise("evaluate", run, data).code == 0
    assert pixelwise("predict", run, data / "images", "--out", tmp_path / "masks").code == 0


def test_what_is_going_on_is_told_on_stderr(pixelwise, tmp_path):
    answer = pixelwise("train", "shapes:10", *FAST, "--out", tmp_path / "run")
    for part in (
        "the generated set, 10 images", "8 images, split train; 6 classes", "random weights",
        "8 images to learn from, 0 held out; 2 steps of 2", "training 2/2",
    ):  # fmt: skip
        assert part in answer.err
    assert answer.err.count("the generated set") == 1


def test_the_val_split_is_not_touched(pixelwise, data, tmp_path):
    val = (data / "val.txt").read_text().split()
    for name in val:
        (data / "images" / f"{name}.png").write_text("not a picture: reading it would fail")
        (data / "masks" / f"{name}.png").write_text("nor this")
    run = tmp_path / "run"
    assert pixelwise("train", data, *FAST, "steps=8", "hold_out=0.4", "validate_every=4", "--out", run).code == 0
    learned = (run / "training_ids.txt").read_text().split()
    assert learned
    assert not set(val) & set(learned)


def test_images_held_out_are_not_learned_from(pixelwise, data, tmp_path):
    answer = pixelwise("train", data, *FAST, "hold_out=0.4", "--out", tmp_path / "run")
    learned = (tmp_path / "run" / "training_ids.txt").read_text().split()
    assert f"{len(learned)} images to learn from, {8 - len(learned)} held out" in answer.err
    assert 0 < len(learned) < 8


def test_too_few_images_to_hold_any_out(pixelwise, tmp_path):
    Shapes(count=1, size=(48, 64)).write(tmp_path / "data")
    words = (tmp_path / "data", *FAST, "--out", tmp_path / "run")
    assert "hold_out=0" in pixelwise("train", *words, "hold_out=0.1").complaint
    assert not (tmp_path / "run").exists()
    assert pixelwise("train", *words, "hold_out=0").code == 0


def test_a_batch_may_be_larger_than_the_data(pixelwise, data, tmp_path):
    assert pixelwise("train", data, *FAST, "batch_size=11", "--out", tmp_path / "run").code == 0


def test_other_splits_and_classes_on_request(pixelwise, data, tmp_path):
    words = ("--split", "val", "classes=[disc, line]", "--out", tmp_path / "run")
    answer = pixelwise("train", data, *FAST, *words)
    assert answer.code == 0, answer.err
    assert (tmp_path / "run" / "training_ids.txt").read_text() == (data / "val.txt").read_text()
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["labels"]["names"] == ["disc", "line"]


def _ignore(data, names) -> None:
    for name in names:
        Image.new("L", (64, 48), 255).save(data / "masks" / f"{name}.png")


def test_a_first_batch_without_labels_does_no_harm(pixelwise, data, tmp_path):
    _ignore(data, (data / "train.txt").read_text().split()[1:])  # one image of eight is labelled
    run = tmp_path / "run"
    answer = pixelwise("train", data, *FAST, "batch_size=1", "steps=20", "--out", run)
    assert answer.code == 0, answer.err
    assert "nan" not in answer.err
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["loss"] >= 0


def test_a_set_without_labels_is_refused(pixelwise, data, tmp_path):
    _ignore(data, (data / "train.txt").read_text().split())
    complaint = pixelwise("train", data, *FAST, "--out", tmp_path / "run").complaint
    assert "no labelled pixel in the 2 batches up to now" in complaint
    assert "pixelwise check" in complaint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("write", [["precision=no"], ["precision=bf16"]])
def test_precision_by_its_name(write, pixelwise, data, tmp_path):
    assert pixelwise("train", data, *FAST, *write, "--out", tmp_path / "run").code == 0
    assert write[0].partition("=")[2] in (tmp_path / "run" / "recipe.yaml").read_text()


def test_the_default_folder_is_named_after_data_and_recipe(pixelwise, data, tmp_path, monkeypatch):
    monkeypatch.chdir(data)
    assert pixelwise("train", ".", *FAST).out == "runs/data-laptop/model\n"


def test_a_run_is_not_written_over(pixelwise, data, tmp_path):
    run = tmp_path / "run"
    pixelwise("train", data, *FAST, "--out", run)
    before = tree(run)
    complaint = pixelwise("train", data, *FAST, "--out", run).complaint
    assert f"{run}: holds a run already; go on with it by  --resume {run}" in complaint
    assert tree(run) == before


def test_resuming_a_finished_run_says_so(pixelwise, data, tmp_path):
    run = tmp_path / "run"
    pixelwise("train", data, *FAST, "--out", run)
    answer = pixelwise("train", data, "--resume", run)
    assert (answer.code, answer.out) == (0, f"{run / 'model'}\n")
    assert "had all of its 2 steps before" in answer.err


def test_a_run_goes_on_with_its_own_images_only(pixelwise, data, tmp_path):
    run = tmp_path / "run"
    pixelwise("train", data, *FAST, "--out", run)
    before = tree(run)
    complaint = pixelwise("train", data, "--split", "val", "--resume", run).complaint
    assert f"{run}: the run learns from other images, 2 of these 2 are new to it, first shapes_00004" in complaint
    assert tree(run) == before


def test_images_taken_away_are_counted_when_a_run_goes_on(pixelwise, data, tmp_path):
    run = tmp_path / "run"
    pixelwise("train", data, *FAST, "--out", run)
    names = (data / "train.txt").read_text().split()
    (data / "train.txt").write_text("\n".join(names[1:]))
    answer = pixelwise("train", data, "--resume", run)
    assert answer.code == 0
    assert f"1 images that the run has learned from are gone, first {names[0]}" in answer.err


def test_a_spoiled_image_found_late_says_how_to_go_on(pixelwise, data, tmp_path):
    run = tmp_path / "run"
    (data / "images" / "shapes_00003.png").write_text("hello")
    words = ("batch_size=1", "steps=8", "save_every=1", "workers=1", "--out", run)
    complaint = pixelwise("train", data, *FAST, *words, "seed=1").complaint
    assert "images/shapes_00003.png: not a readable picture" in complaint
    assert f"go on with  --resume {run}" in complaint
    Shapes(count=10, size=(48, 64)).write(data)
    assert pixelwise("train", data, "--resume", run).code == 0


def test_too_little_to_normalise_by(pixelwise, data, tmp_path):
    small = ("network=fcn32s_lite0", "options={}", "batch_size=1", "crop=32")
    complaint = pixelwise("train", data, *FAST, *small, "--out", tmp_path / "run").complaint
    assert "too little to normalise by: raise batch_size or crop" in complaint
