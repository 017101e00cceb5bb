"""`pixelwise refine`, and `--crf` where a model is used: scores in files in, better ones out; mistakes in one line."""

import json

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import tree

import pixelwise as pw
from pixelwise.data.sample import read_image
from pixelwise.data.shapes import CLASSES, LABEL_SPEC, Shapes
from pixelwise.label_maps import read_label_map
from pixelwise.labels import read_classes, write_classes
from pixelwise.refinement.presets import PRESETS

SAMPLE = Shapes(count=1, size=(48, 64))[0]
SCORES = (
    2.0 * (SAMPLE.labels["main"] == np.arange(6)[:, None, None])
    + np.random.default_rng(0).normal(size=(6, *SAMPLE.size))
).astype(np.float32)


@pytest.fixture
def picture(tmp_path):
    """A picture, `photo.png`, and its scores beside it, `scores.npy`."""
    Image.fromarray(SAMPLE.image).save(tmp_path / "photo.png")
    np.save(tmp_path / "scores.npy", SCORES)
    return tmp_path / "photo.png"


def test_writes_label_map_scores_and_classes(pixelwise, picture, tmp_path):
    answer = pixelwise("refine", picture, tmp_path / "scores.npy", "--out", tmp_path / "out", "--crf", "pydensecrf")
    assert answer.code == 0, answer.err
    assert answer.err == f"{tmp_path / 'scores.npy'}: scores of 6 classes\n"
    assert answer.out.splitlines() == [str(tmp_path / "out" / name) for name in ("photo.png", "photo_scores.npy")]
    assert tree(tmp_path / "out").keys() == {"photo.png", "photo_scores.npy", "classes.txt"}
    expected = pw.DenseCRF.preset("pydensecrf")(SAMPLE.image, SCORES)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "photo_scores.npy"), expected)
    spec = read_classes(tmp_path / "out" / "classes.txt")
    assert spec.names == tuple(f"class {index}" for index in range(6))
    labels = read_label_map(tmp_path / "out" / "photo.png", spec)
    np.testing.assert_array_equal(labels, expected.argmax(0))
    truth = SAMPLE.labels["main"]
    assert (labels == truth).mean() > (SCORES.argmax(0) == truth).mean() + 0.1


def test_takes_what_predict_writes(pixelwise, model, picture, tmp_path):
    first = pixelwise("predict", model, picture, "--out", tmp_path / "first", "--probabilities")
    assert first.code == 0, first.err
    answer = pixelwise(
        "refine", picture, tmp_path / "first" / "photo_probabilities.npz", "--out", tmp_path / "second", "--json"
    )
    assert "photo_probabilities.npz: probabilities of 6 classes" in answer.err
    assert json.loads(answer.out).keys() == {"labels", "scores"}
    assert read_classes(tmp_path / "second" / "classes.txt") == LABEL_SPEC  # colours too: they lay beside the scores


def test_takes_pictures_of_probabilities(pixelwise, picture, tmp_path):
    (tmp_path / "maps").mkdir()
    probabilities = np.exp(SCORES) / np.exp(SCORES).sum(0)
    for number, (name, values) in enumerate(zip(CLASSES, probabilities, strict=True)):
        Image.fromarray((255 * values).round().astype(np.uint8)).save(tmp_path / "maps" / f"{number}_{name}.png")
    assert pixelwise("refine", picture, tmp_path / "maps", "--out", tmp_path / "out").code == 0
    assert read_classes(tmp_path / "out" / "classes.txt").names == CLASSES
    expected = pw.DenseCRF.preset("deeplab_v1")(SAMPLE.image, SCORES).argmax(0)
    labels = read_label_map(tmp_path / "out" / "photo.png", LABEL_SPEC)
    assert (labels == expected).mean() > 0.95


def test_in_tiles_and_with_a_trace(pixelwise, picture, tmp_path):
    write_classes(tmp_path / "mine.txt", LABEL_SPEC)
    words = ("refine", picture, tmp_path / "scores.npy", "--out", tmp_path / "out", "--classes", tmp_path / "mine.txt")
    answer = pixelwise(*words, "--tile", 24, "--overlap", 16, "--trace", "disc", "--json")
    assert answer.code == 0, answer.err
    with Image.open(json.loads(answer.out)["trace"]) as strip:
        assert strip.width > 2 * strip.height
    whole = pw.DenseCRF.preset("deeplab_v1")(SAMPLE.image, SCORES).argmax(0)
    assert (np.load(tmp_path / "out" / "photo_scores.npy").argmax(0) == whole).mean() > 0.9


def test_a_preset_of_ones_own(pixelwise, picture, tmp_path):
    PRESETS["deeplab_v1"].save(tmp_path / "mine.yaml")
    for crf, out in ((tmp_path / "mine.yaml", "a"), ("deeplab_v1", "b")):
        pixelwise("refine", picture, tmp_path / "scores.npy", "--out", tmp_path / out, "--crf", crf)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--crf", "deeplab_v9"), "unknown CRF preset 'deeplab_v9': did you mean 'deeplab_v1'?"),
        (("--crf", "mine.yaml"), "mine.yaml: no such file; give a preset's file, or one of: deconvnet"),
        (("--trace", "class 7"), "unknown class 'class 7': did you mean 'class 5'?"),
        (("--tile", 0), "tile: expected a side of at least 1 pixel, got 0"),
        (("--overlap", -1), "overlap: expected at least 0 pixels, got -1"),
        (("--classes", "few.txt"), "few.txt: has 2 classes, but"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(words, said, pixelwise, picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.txt").write_text("0 a\n1 b\n")
    before = tree(tmp_path)
    answer = pixelwise("refine", picture, tmp_path / "scores.npy", "--out", tmp_path / "out", *words)
    assert said in answer.complaint
    assert tree(tmp_path) == before


def test_another_size_and_no_numbers(pixelwise, picture, tmp_path):
    np.save(tmp_path / "small.npy", SCORES[:, :40])
    nan = SCORES.copy()
    nan[2, 3, 4] = np.nan
    np.save(tmp_path / "nan.npy", nan)
    before = tree(tmp_path)
    answer = pixelwise("refine", picture, tmp_path / "small.npy", "--out", tmp_path / "out")
    assert "small.npy: 64 x 40 pixels, but" in answer.complaint
    assert "photo.png is 64 x 48" in answer.complaint
    answer = pixelwise("refine", picture, tmp_path / "nan.npy", "--out", tmp_path / "out")
    assert "scores has NaN or infinite values, the first at (2, 3, 4)" in answer.complaint
    left = {name for name, content in tree(tmp_path).items() if content is not None}
    assert left == {name for name, content in before.items() if content is not None}


def test_predict_and_evaluate_refine_on_request(pixelwise, model, data, tmp_path):
    plain, refined = tmp_path / "plain", tmp_path / "refined"
    pixelwise("predict", model, data / "images", "--out", plain)
    answer = pixelwise("predict", model, data / "images", "--out", refined, "--crf", "deeplab_v1", "--json")
    assert json.loads(answer.out)["crf"]["bilateral_weight"] == 5
    assert tree(plain).keys() == tree(refined).keys()
    image = read_image(data / "images" / "shapes_00003.png")
    expected = pw.DenseCRF.preset("deeplab_v1")(image, pw.load(model).predictor(image)).argmax(0)
    assert (read_label_map(refined / "shapes_00003.png", LABEL_SPEC) == expected).mean() > 0.999
    assert tree(plain) != tree(refined)
    report = json.loads(pixelwise("evaluate", model, data, "--crf", "deeplab_v1", "--json").out)
    assert report["crf"]["source"] == PRESETS["deeplab_v1"].source
    assert "crf" not in json.loads(pixelwise("evaluate", model, data, "--json").out)
    text = pixelwise("evaluate", model, data, "--crf", "deeplab_v1").out
    assert text.splitlines()[-1] == "refined by a dense CRF: deeplab_v1"


def test_predictions_that_were_kept_cannot_be_refined(pixelwise, model, data, tmp_path):
    pixelwise("evaluate", model, data, "--predictions", tmp_path / "kept")
    answer = pixelwise("evaluate", tmp_path / "kept", data, "--crf", "deeplab_v1")
    assert "--crf refines a model's scores, and these are predictions" in answer.complaint


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_an_unknown_preset_is_told_at_once(verb, pixelwise, model, data, tmp_path):
    words = {"predict": (data / "images", "--out", tmp_path / "out"), "evaluate": (data,)}[verb]
    answer = pixelwise(verb, model, *words, "--crf", "deeplab")
    assert "unknown CRF preset 'deeplab': did you mean 'deeplab_v1'?" in answer.complaint
    assert not (tmp_path / "out").exists()
