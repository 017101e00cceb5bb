"""`pixelwise train`: what a run leaves, what it learns from, and how it goes on."""

import errno
import json

import pytest
from accelerate import Accelerator
from PIL import Image
from tests.cli.conftest import FAST, tree

from pixelwise.data.shapes import Shapes
from pixelwise.training import loop, timing
from pixelwise.training.folder import RunFolder
from pixelwise.training.recipe import read_recipe

FITTED = ("steps", "validate_every", "save_every", "warmup")


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
        "8 images to learn from, 2 to select by; 2 steps of 2", "training 2/2",
    ):  # fmt: skip
        assert part in answer.err
    assert answer.err.count("the generated set") == 1


@pytest.mark.parametrize(
    ("untouched", "words"),
    [
        ("test", ("hold_out=0.4",)),
        ("test", ("--final",)),
        ("val", ("hold_out=0.4", "select=train")),
        ("val", ("--split", "train", "select=train")),
    ],
)
def test_a_split_that_is_not_asked_for_is_not_touched(untouched, words, pixelwise, data, tmp_path):
    if untouched == "test":
        names = (data / "train.txt").read_text().split()
        (data / "train.txt").write_text("\n".join(names[:6]))
        (data / "test.txt").write_text("\n".join(names[6:]))
    apart = (data / f"{untouched}.txt").read_text().split()
    for name in apart:
        (data / "images" / f"{name}.png").write_text("not a picture: reading it would fail")
        (data / "masks" / f"{name}.png").write_text("nor this")
    run = tmp_path / "run"
    answer = pixelwise("train", data, *FAST, "steps=8", "validate_every=4", *words, "--out", run)
    assert answer.code == 0, answer.err
    learned = (run / "training_ids.txt").read_text().split()
    assert learned
    assert not set(apart) & set(learned)


def test_final_learns_from_train_and_val(pixelwise, data, tmp_path):
    run = tmp_path / "run"
    answer = pixelwise("train", data, *FAST, "--final", "--out", run)
    assert "10 images to learn from, 0 to select by" in answer.err
    lists = [(data / f"{split}.txt").read_text().split() for split in ("train", "val")]
    assert (run / "training_ids.txt").read_text().split() == [*lists[0], *lists[1]]
    (data / "val.txt").unlink()
    assert "no split 'val'" in pixelwise("train", data, *FAST, "--final", "--out", tmp_path / "other").complaint


def test_minutes_become_a_number_of_steps_that_is_kept(pixelwise, data, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "FOR_TRAINING", 0.1)  # a tenth of six seconds is enough
    run, slow = tmp_path / "run", "learning_rate=1e-4"
    answer = pixelwise("train", data, *FAST, slow, "--minutes", "0.1", "--out", run)
    assert answer.code == 0, answer.err
    steps = read_recipe(run / "recipe.yaml").steps
    assert f"0.1 minutes are {steps:,} steps here" in answer.err
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"] == steps
    assert (run / "states" / f"step-{steps:08d}").is_dir()
    given = tmp_path / "given"
    fitted = [f"{key}={value}" for key, value in read_recipe(run / "recipe.yaml").model_dump().items() if key in FITTED]
    assert pixelwise("train", data, *FAST, slow, *fitted, "--out", given).code == 0
    first, second = (path / "model" / "model.safetensors" for path in (run, given))
    assert first.read_bytes() == second.read_bytes()


def test_training_may_start_from_a_model(pixelwise, model, data, tmp_path):
    run = tmp_path / "run"
    answer = pixelwise("train", data, *FAST, "classes=[disc, background]", "--init-from", model, "--out", run)
    assert f"from {model} (classes taken over: disc, background; new: none)" in answer.err
    assert json.loads((run / "model" / "config.json").read_text())["record"]["started_from"].startswith(str(model))
    wider = (*FAST, "options={width: 0.1}", "--init-from", model, "--out", tmp_path / "wider")
    assert "choose the same network and options" in pixelwise("train", data, *wider).complaint


def test_images_held_out_are_not_learned_from(pixelwise, data, tmp_path):
    answer = pixelwise("train", data, *FAST, "hold_out=0.4", "select=train", "--out", tmp_path / "run")
    learned = (tmp_path / "run" / "training_ids.txt").read_text().split()
    assert f"{len(learned)} images to learn from, {8 - len(learned)} to select by" in answer.err
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
    assert "no labelled pixel in the 2 steps up to now" in complaint
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
    before = tree(run)
    complaint = pixelwise("train", data, "--resume", run).complaint
    assert f"{run}: has finished its 2 steps; use {run / 'model'}" in complaint
    assert f"--init-from {run / 'model'}" in complaint
    assert tree(run) == before


@pytest.mark.parametrize("change", ["fewer", "more", "others", "classes", "version"])
def test_another_run_is_not_resumed(change, pixelwise, data, tmp_path, monkeypatch):
    run, names = tmp_path / "run", (data / "train.txt").read_text().split()
    if change == "more":
        (data / "train.txt").write_text("\n".join(names[1:]))
    with monkeypatch.context() as patch:
        patch.setattr(loop, "learn", _cut_at(3, loop.learn))
        assert pixelwise("train", data, *FAST, "steps=4", "save_every=2", "--out", run).code == 130
    match change:
        case "fewer":
            (data / "train.txt").write_text("\n".join(names[1:]))
        case "more":
            (data / "train.txt").write_text("\n".join(names))
        case "others":
            Shapes(count=12, size=(48, 64)).write(data)
        case "classes":
            text = (data / "classes.txt").read_text()
            (data / "classes.txt").write_text(text.replace("disc", "cat"))
        case "version":
            card = json.loads((run / "run.json").read_text())
            (run / "run.json").write_text(json.dumps(card | {"pixelwise": "0.0.1"}))
    before = tree(run)
    complaint = pixelwise("train", data, "--resume", run).complaint
    what = {"classes": "other classes", "version": "other pixelwise: 0.0.1"}.get(change, "other images")
    assert f"{run}: began with {what}" in complaint
    assert tree(run) == before


def test_a_run_in_use_is_left_alone(pixelwise, data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "learn", _cut_at(3, loop.learn))
        pixelwise("train", data, *FAST, "steps=4", "save_every=2", "--out", run)
    before = tree(run)
    with RunFolder(run).taken():
        complaint = pixelwise("train", data, "--resume", run).complaint
    assert f"{run}: another process is training here" in complaint
    assert tree(run) == before
    assert pixelwise("train", data, "--resume", run).code == 0


def _cut_at(step, learn):
    calls = iter(range(1, step))

    def learning(*arguments):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return learn(*arguments)

    return learning


def test_a_full_disk_is_one_line_and_the_state_before_stands(pixelwise, data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    save, calls = Accelerator.save_state, iter(range(1))

    def full(*arguments, **options):
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Accelerator, "save_state", full)
        complaint = pixelwise("train", data, *FAST, "steps=4", "save_every=2", "--out", run).complaint
    assert "step-00000004: cannot be saved ([Errno 28] No space left on device)" in complaint
    assert f"go on with  --resume {run}" in complaint
    assert [path.name for path in (run / "states").iterdir()] == ["step-00000002"]
    assert pixelwise("train", data, "--resume", run).code == 0


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


def test_a_start_that_was_killed_is_in_nobodys_way(pixelwise, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / ".lock").touch()
    assert pixelwise("train", "shapes:10", *FAST, "--out", run).code == 0
