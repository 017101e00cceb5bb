"""Wrong things typed: each gives one line that names the file or word and the remedy, exit code 2, and writes nothing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import FAST, placed, tree

TRAIN_FAST = ("train", "DATA", *FAST, "--out", "RUN")

# What is typed -> parts of the one line. The words stand for paths: DATA a good set, MODEL a model, RUN a fresh folder.
TYPED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "data missing": (("check", "nowhere"), ("nowhere: no such folder", "'shapes'")),
    "data a file": (("check", "DATA/classes.txt"), ("classes.txt: a file, but a data set is a folder",)),
    "data too deep": (("check", "DATA/images"), ("no layout recognised: did you mean", "data?")),
    "count of shapes": (("check", "shapes:many"), ("shapes:100", "'many'")),
    "layout": (("check", "DATA", "--layout", "vocc"), ("unknown layout 'vocc': did you mean 'voc'?",)),
    "wrong layout": (("check", "DATA", "--layout", "voc"), ("data: no folder ImageSets/Segmentation",)),
    "sbd": (("check", "DATA", "--sbd", "DATA"), ("SBD goes with the VOC layout only",)),
    "split": (("evaluate", "MODEL", "DATA", "--split", "vall"), ("no split 'vall'; did you mean 'val'?",)),
    "split of train": ((*TRAIN_FAST, "--split", "trian"), ("no split 'trian'; did you mean 'train'?",)),
    "recipe": (("train", "DATA", "--recipe", "labtop"), ("unknown recipe 'labtop': did you mean 'laptop'?",)),
    "recipe file": (("train", "DATA", "--recipe", "my.yaml"), ("my.yaml: no such recipe file", "pixelwise recipes")),
    "recipe key": ((*TRAIN_FAST, "stepz=3"), ("unknown recipe key 'stepz': did you mean 'steps'?",)),
    "recipe value": ((*TRAIN_FAST, "steps=many"), ("recipe key 'steps'", "integer", "'many'")),
    "recipe bound": ((*TRAIN_FAST, "steps=0"), ("recipe key 'steps'", "greater than or equal to 1", "got 0")),
    "recipe list": ((*TRAIN_FAST, "classes=disc"), ("recipe key 'classes': expected a list, such as [a, b]",)),
    "recipe scale": ((*TRAIN_FAST, "scale=[2, 1]"), ("recipe key 'scale'", "0 < smallest <= largest")),
    "no key=value": ((*TRAIN_FAST, "steps"), ("expected key=value, got 'steps'", "steps=500")),
    "broken YAML": ((*TRAIN_FAST, "crop=["), ("'crop=['", "YAML")),
    "network": ((*TRAIN_FAST, "network=fcn8s_vg16"), ("unknown network 'fcn8s_vg16': did you mean 'fcn8s_vgg16'?",)),
    "network option": ((*TRAIN_FAST, "options={widht: 1}"), ("'fcn32s_vgg16' has no such option: 'widht'",)),
    "option's value": ((*TRAIN_FAST, "options={width: wide}"), ("'fcn32s_vgg16'", "'wide'")),
    "no weights": ((*TRAIN_FAST, "init=imagenet"), ("no ImageNet weights", "init=none")),
    "class": ((*TRAIN_FAST, "classes=[background, dist]"), ("unknown class 'dist': did you mean 'disc'?",)),
    "resume": (("train", "DATA", "--resume", "nowhere"), ("nowhere: no run to resume here", "recipe.yaml")),
    "resume data": (("train", "DATA", "--resume", "DATA"), ("data: no run to resume here",)),
    "resume changed": (("train", "DATA", "steps=9", "--resume", "RUN"), ("--resume goes on with the run as it was",)),
    "final without val": (("train", "shapes:4", *FAST, "--final", "--out", "RUN"), ("no split 'val'", "leave it out")),
    "plateau": ((*TRAIN_FAST, "schedule=plateau", "select=train"), ("schedule=plateau", "nothing is selected by")),
    "init from": ((*TRAIN_FAST, "--init-from", "a/model"), ("a/model: no such model directory",)),
    "pattern": (("models", "unet*"), ("no network matches 'unet*'", "fcn8s_lite0")),
    "picture": (("predict", "MODEL", "cat.jpg", "--out", "RUN"), ("cat.jpg: no such file, folder or pattern", ".png")),
    "pictures": (("predict", "MODEL", "*.jpg", "--out", "RUN"), ("*.jpg: no such file, folder or pattern",)),
    "no picture": (("predict", "MODEL", "", "--out", "RUN"), ("an empty path",)),
    "device": (
        ("predict", "MODEL", "DATA/images", "--out", "RUN", "--device", "tpu9"),
        ("device 'tpu9' cannot be used here", "use cpu"),
    ),
    "model": (
        ("predict", "DATA", "DATA/images", "--out", "RUN"),
        ("data: no model in it (no config.json, no system.yaml)",),
    ),
    "model's path": (("evaluate", "a/model", "DATA"), ("a/model: no such model directory",)),
    "out a file": (
        ("predict", "MODEL", "DATA/images", "--out", "DATA/classes.txt"),
        ("classes.txt: a file, but --out", "choose another --out"),
    ),
    "out in a file": ((*TRAIN_FAST[:-1], "DATA/classes.txt/run"), ("classes.txt: a file, but --out",)),
    "out taken": ((*TRAIN_FAST[:-1], "DATA"), ("data: holds other files; choose another --out",)),
}


@pytest.mark.parametrize("mistake", TYPED)
def test_one_line_and_nothing_written(mistake, pixelwise, model, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, parts = TYPED[mistake]
    places = {"DATA": str(data), "MODEL": str(model), "RUN": "run"}
    before = tree(tmp_path)
    answer = pixelwise(*(placed(word, places) for word in words))
    for part in parts:
        assert part in answer.complaint
    assert answer.out == ""
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((), ("Usage:", "predict", "train")),
        (("trian",), ("No such command 'trian'", "train")),
        (("check",), ("Missing argument 'DATA'",)),
        (("check", ""), ("'DATA'", "empty")),
        (("predict", "animals"), ("Missing argument 'PATH'",)),
        (("predict", "animals", "a.jpg"), ("Missing option '--out'",)),
        (("evaluate", "animals", "shapes", "--spilt", "val"), ("No such option: --spilt", "--split")),
        (("train", "shapes", "--split"), ("'--split' requires an argument",)),
    ],
)
def test_usage_is_explained(words, parts, pixelwise):
    answer = pixelwise(*words)
    assert answer.code == 2
    for part in parts:
        assert part in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


# How a good data set is spoiled in one training sample -> parts of the line.


def _cut_picture(data: Path) -> None:
    picture = data / "images" / "shapes_00003.png"
    jpeg = picture.with_suffix(".jpg")
    Image.open(picture).save(jpeg)
    picture.unlink()
    jpeg.write_bytes(jpeg.read_bytes()[:700])


def _mask(data: Path) -> tuple[Path, np.ndarray]:
    path = data / "masks" / "shapes_00003.png"
    return path, np.array(Image.open(path))


def _other_size(data: Path) -> None:
    path, mask = _mask(data)
    Image.fromarray(mask[:24, :32].copy()).save(path)


def _strange_value(data: Path) -> None:
    path, mask = _mask(data)
    mask[:2] = 77
    Image.fromarray(mask).save(path)


def _one_in_colours(data: Path) -> None:
    path, _ = _mask(data)
    Image.open(path).convert("RGB").save(path)


def _text_as_mask(data: Path) -> None:
    _mask(data)[0].write_text("hello")


SPOILED = {
    _cut_picture: ("images/shapes_00003.jpg: not a readable picture", "truncated", "replace or remove it"),
    _other_size: ("masks/shapes_00003.png", "24 high and 32 wide", "48 high and 64 wide", "export the mask again"),
    _strange_value: ("masks/shapes_00003.png: holds the value 77 (128 pixels)", "0..5 or 255", "'77 NAME ignore'"),
    _one_in_colours: ("masks/shapes_00003.png: a colour picture", "classes.txt"),
    _text_as_mask: ("masks/shapes_00003.png: not a readable label picture", "save it again as PNG"),
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_spoiled_sample_ends_a_training_and_leaves_nothing(spoil, pixelwise, data, tmp_path):
    spoil(data)
    before = tree(tmp_path)
    answer = pixelwise("train", data, *FAST, "steps=20", "--out", tmp_path / "run")
    for part in SPOILED[spoil]:
        assert part in answer.complaint
    assert "--resume" not in answer.complaint
    assert tree(tmp_path) == before


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_spoiled_sample_ends_an_evaluation(spoil, pixelwise, model, data):
    spoil(data)
    answer = pixelwise("evaluate", model, data, "--split", "all", "--json")
    for part in SPOILED[spoil]:
        assert part in answer.complaint
    assert answer.out == ""  # numbers over some of the pictures would be wrong


@pytest.mark.parametrize("spoil", SPOILED)
def test_check_tells_of_a_spoiled_sample_and_of_the_others(spoil, pixelwise, data):
    spoil(data)
    answer = pixelwise("check", data)
    assert answer.code == 2
    assert "shapes_00003" in answer.out
    assert "10 images" in answer.out
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("verb", ["train", "evaluate", "check"])
def test_values_and_colours_without_classes_are_refused(verb, pixelwise, model, data, tmp_path):
    (data / "classes.txt").unlink()
    _one_in_colours(data)
    words = {"train": (data, *FAST, "--out", tmp_path / "run"), "evaluate": (model, data), "check": (data,)}[verb]
    complaint = pixelwise(verb, *words).complaint
    assert "shapes_00000.png holds class values, but" in complaint
    assert "shapes_00003.png holds colours" in complaint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", ["train", "check"])
def test_masks_of_other_names(verb, pixelwise, data, tmp_path):
    for mask in (data / "masks").iterdir():
        mask.rename(mask.with_name(f"x{mask.name}"))
    before = tree(tmp_path)
    words = FAST if verb == "train" else ()
    complaint = pixelwise(verb, data, *words).complaint
    assert "no mask has the name of an image: 'shapes_00000' in images/, but 'xshapes_00000' in masks/" in complaint
    assert tree(tmp_path) == before


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_empty_list_is_named(split, pixelwise, model, data):
    (data / f"{split}.txt").write_text("\n")
    assert f"{split}.txt: the list is empty" in pixelwise("evaluate", model, data, "--split", split).complaint


@pytest.mark.parametrize(
    ("recipe", "parts"),
    [
        ("steps: [", ("mine.yaml: not readable as YAML",)),
        ("hello", ("mine.yaml: expected 'key: value' lines",)),
        ("steps: many", ("mine.yaml: recipe key 'steps'",)),
        ("bach_size: 3", ("did you mean 'batch_size'?",)),
    ],
)
def test_recipes_that_are_none(recipe, parts, pixelwise, data, tmp_path):
    (tmp_path / "mine.yaml").write_text(recipe)
    complaint = pixelwise("train", data, "--recipe", tmp_path / "mine.yaml", "--out", tmp_path / "run").complaint
    for part in parts:
        assert part in complaint


def _without_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def _cut_header(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def _cut_end(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _broken_config(model: Path) -> None:
    (model / "config.json").write_text('{"format": 1,')


def _list_as_config(model: Path) -> None:
    (model / "config.json").write_text("[]")


def _changed(model: Path, *, network: object = None, labels: object = None) -> None:
    config = json.loads((model / "config.json").read_text())
    config["network"].update(network or {})
    config["labels"].update(labels or {})
    (model / "config.json").write_text(json.dumps(config))


def _other_network(model: Path) -> None:
    _changed(model, network={"name": "fcn8s_vgg16"})


def _unknown_network(model: Path) -> None:
    _changed(model, network={"name": "fcn31s_vgg16"})


def _odd_colours(model: Path) -> None:
    _changed(model, labels={"colours": [[1, 2]]})


BROKEN = {
    _without_weights: ("model.safetensors", "No such file"),
    _cut_header: ("model.safetensors: not readable as weights", "copy or train the model again"),
    _cut_end: ("model.safetensors: not readable as weights",),
    _broken_config: ("config.json: not readable as a model's config",),
    _list_as_config: ("config.json: expected a model of format 1",),
    _other_network: ("model.safetensors: does not fit the network 'fcn8s_vgg16'",),
    _unknown_network: ("config.json", "unknown network 'fcn31s_vgg16': did you mean 'fcn32s_vgg16'?"),
    _odd_colours: ("config.json",),
}


@pytest.mark.parametrize("breaking", BROKEN)
def test_broken_models_are_named(breaking, pixelwise, model, data, tmp_path):
    shutil.copytree(model, tmp_path / "broken")
    breaking(tmp_path / "broken")
    before = tree(tmp_path)
    answer = pixelwise("predict", tmp_path / "broken", data / "images", "--out", tmp_path / "masks", "--json")
    for part in BROKEN[breaking]:
        assert part in answer.complaint
    assert answer.out == ""
    assert tree(tmp_path) == before


def test_a_near_name_of_a_model_is_offered(pixelwise, model, data, tmp_path, monkeypatch):
    shutil.copytree(model, tmp_path / "models" / "zebras")
    monkeypatch.setenv("PIXELWISE_MODELS", str(tmp_path / "models"))
    complaint = pixelwise("evaluate", "zebra", data).complaint
    assert complaint == "unknown model 'zebra': did you mean 'zebras'?"
