"""`pixelwise evaluate`: the measures as text and as JSON, and classes that do not correspond."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import tree

from pixelwise.data.shapes import CLASSES, LABEL_SPEC, Shapes
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.inference.loading import load
from pixelwise.inference.predictors import WholeImage
from pixelwise.label_maps import write_label_map
from pixelwise.labels import write_classes


def test_the_json_is_the_measures_and_nothing_else(pixelwise, model, data):
    answer = pixelwise("evaluate", model, data, "--json")
    report = json.loads(answer.out, parse_constant=_refuse)
    assert (report["split"], report["images"], report["classes"]) == ("val", 2, list(CLASSES))
    measures = evaluate(load(model).predictor, Shapes(count=10, size=(48, 64)).split("val")).measures()
    assert report["mean_iou"] == pytest.approx(measures.mean_iou)
    assert report["pixels"] == 2 * 48 * 64
    low, high = report["intervals"]["mean_iou"]
    assert low <= report["mean_iou"] <= high
    assert report["mean_of_image_ious"] != report["mean_iou"]
    assert "counts as 0" in report["means_over"]
    assert "trimap" not in report  # it costs more, and was not asked for
    assert "evaluating 2/2" in answer.err


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_the_table_has_a_line_a_class(pixelwise, model, data):
    answer = pixelwise("evaluate", model, data)
    lines = answer.out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(CLASSES)]] == list(CLASSES)
    assert any(line.startswith("mean IoU") for line in lines)
    assert lines[-1] == "2 images, 6,144 labelled pixels, one confusion matrix over all of them"


def test_classes_that_are_nowhere_are_null(pixelwise, model, data):
    for mask in (data / "masks").iterdir():
        Image.fromarray(np.zeros((48, 64), np.uint8)).save(mask)
    report = json.loads(pixelwise("evaluate", model, data, "--json").out, parse_constant=_refuse)
    assert report["accuracy"][1:] == [None] * 5
    text = pixelwise("evaluate", model, data).out
    assert "n/a" in text
    assert "nan" not in text


@pytest.mark.parametrize(("split", "images"), [("train", 8), ("all", 10)])
def test_other_splits(split, images, pixelwise, model, data):
    assert json.loads(pixelwise("evaluate", model, data, "--split", split, "--json").out)["images"] == images


def test_classes_that_the_model_does_not_know_are_listed(pixelwise, model, data):
    with (data / "classes.txt").open("a") as classes:
        classes.write("6 hedgehog\n")
    answer = pixelwise("evaluate", model, data, "--json")
    assert "ignored, unknown to the model: hedgehog" in answer.err
    assert json.loads(answer.out)["ignored_classes"] == ["hedgehog"]


def test_a_class_that_the_data_lack_is_an_error(pixelwise, model, data):
    classes = (data / "classes.txt").read_text().replace("disc", "disk")
    (data / "classes.txt").write_text(classes)
    complaint = pixelwise("evaluate", model, data).complaint
    assert "the model's class 'disc' is not a class of the data set" in complaint
    assert "classes.txt" in complaint


def test_nothing_labelled_is_nothing_to_measure_by(pixelwise, model, data):
    for mask in (data / "masks").iterdir():
        Image.new("L", (64, 48), 255).save(mask)
    answer = pixelwise("evaluate", model, data, "--json")
    assert "no labelled pixel of the model's classes in split 'val'" in answer.complaint
    assert answer.out == ""


def test_means_are_over_the_classes_that_are_asked_for_and_say_so(pixelwise, model, data):
    def measured(*words):
        return json.loads(pixelwise("evaluate", model, data, "--split", "all", *words, "--json").out)

    whole, foreground = measured(), measured("--foreground")
    assert foreground == measured("--classes", ",".join(CLASSES[1:]))
    assert foreground["iou"] == whole["iou"]
    assert foreground["mean_iou"] == pytest.approx(np.mean(whole["iou"][1:]))
    assert foreground["chosen"] == [False, *[True] * 5]
    assert foreground["pixels"] < whole["pixels"]
    assert "5 of 6 classes" in foreground["means_over"]
    two = measured("--classes", "line, disc")
    assert two["mean_iou"] == pytest.approx((whole["iou"][CLASSES.index("line")] + whole["iou"][1]) / 2)


def test_the_rule_for_absent_classes_is_printed_with_the_mean(pixelwise, model, data):
    for mask in (data / "masks").iterdir():
        Image.fromarray(np.zeros((48, 64), np.uint8)).save(mask)
    present, truth = (pixelwise("evaluate", model, data, "--absent", rule).out for rule in ("present", "truth"))
    assert "one that is predicted but never true counts as 0" in present
    assert "a class that is not in the truth does not count" in truth
    means = [
        next(line.split()[2] for line in out.splitlines() if line.startswith("mean IoU")) for out in (present, truth)
    ]
    assert float(means[0]) < float(means[1])


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--absent", "presnet"), ("unknown rule for absent classes 'presnet': did you mean 'present'?",)),
        (("--classes", "disk"), ("unknown class 'disk': did you mean 'disc'?",)),
        (("--classes", "disc", "--foreground"), ("give one of the two",)),
        (("--report", "DATA"), ("holds other things than a report",)),
        (("--keep", "DATA/classes.txt"), ("classes.txt: a file, but --keep", "choose another --keep")),
        (("--predictions", "DATA/classes.txt/in"), ("classes.txt: a file, but --predictions",)),
    ],
)
def test_options_that_cannot_be(words, parts, pixelwise, model, data, tmp_path):
    before = tree(tmp_path)
    answer = pixelwise("evaluate", model, data, *(word.replace("DATA", str(data)) for word in words))
    for part in parts:
        assert part in answer.complaint
    assert tree(tmp_path) == before


def test_where_the_data_lack_classes_one_can_go_on(pixelwise, model, data):
    few = [line for line in (data / "classes.txt").read_text().splitlines() if "disc" not in line]
    (data / "classes.txt").write_text("\n".join([*few, "1 disc ignore"]))
    assert "the model's class 'disc'" in pixelwise("evaluate", model, data).complaint
    answer = pixelwise("evaluate", model, data, "--fewer-classes", "--json")
    assert "in no mean, the data do not have them: disc" in answer.err
    report = json.loads(answer.out)
    assert report["lacking_classes"] == ["disc"]
    assert report["classes"] == list(CLASSES)
    assert report["chosen"] == [name != "disc" for name in CLASSES]


def test_thorough_measures_are_printed(pixelwise, model, data):
    text = pixelwise("evaluate", model, data, "--thorough").out
    for words in ("within 2 px of boundaries", "within 10 px", "mean boundary F1", "(ECE)", "sides from 0 to 16 px"):
        assert words in text
    report = json.loads(pixelwise("evaluate", model, data, "--thorough", "--json").out, parse_constant=_refuse)
    assert len(report["trimap"]["mean_iou"]) == 40
    assert 0 <= report["calibration"]["ece"] <= 1
    assert sum(report["sizes"]["objects"]) > 0


def test_predictions_are_kept_and_measured_later_without_torch(pixelwise, model, data, tmp_path):
    kept = tmp_path / "predictions"
    first = pixelwise("evaluate", model, data, "--split", "all", "--predictions", kept, "--json")
    assert len(list(kept.glob("*.png"))) == 10
    code = (
        "import sys; sys.modules.update(torch=None, accelerate=None, matplotlib=None, scipy=None)\n"
        "from pixelwise.cli.main import run; run()"
    )
    words = [sys.executable, "-c", code, "evaluate", kept, data, "--split", "all", "--json"]
    later = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300, env=os.environ)
    assert later.returncode == 0, later.stderr
    reports = [json.loads(out) for out in (first.out, later.stdout)]
    assert [reports[0].pop("model"), reports[1].pop("model")] == [str(model), str(kept)]
    assert len(reports[0].pop("weights")) == 16
    assert reports[0] == reports[1]
    missing = kept / "shapes_00003.png"
    missing.unlink()
    assert "1 have no NAME.png" in pixelwise("evaluate", kept, data, "--split", "all").complaint
    assert "--keep and --predictions go with a model" in pixelwise("evaluate", kept, data, "--keep", kept).complaint


def test_what_predict_writes_can_be_measured(pixelwise, model, data, tmp_path):
    pixelwise("predict", model, data / "images", "--out", tmp_path / "masks", "--overlay")
    measured = [
        pixelwise("evaluate", source, data, "--split", "all", "--json").out for source in (model, tmp_path / "masks")
    ]
    first, second = map(json.loads, measured)
    assert first["mean_iou"] == second["mean_iou"]


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        ({"size": (24, 32)}, ("shapes_00009.png: a prediction must cover the same pixels",)),
        ({"value": 9}, ("shapes_00009.png: holds the value 9",)),
    ],
)
def test_bad_predictions_are_named(spoil, parts, pixelwise, data, tmp_path):
    for sample in Shapes(count=10, size=(48, 64)).split("val"):
        write_label_map(tmp_path / "kept" / f"{sample.name}.png", sample.labels["main"], LABEL_SPEC)
    write_classes(tmp_path / "kept" / "classes.txt", LABEL_SPEC)
    assert "mean IoU                  1.0000" in pixelwise("evaluate", tmp_path / "kept", data).out
    labels = np.full(spoil.get("size", (48, 64)), spoil.get("value", 0), np.uint8)
    write_label_map(tmp_path / "kept" / "shapes_00009.png", labels, LABEL_SPEC)
    complaint = pixelwise("evaluate", tmp_path / "kept", data).complaint
    for part in parts:
        assert part in complaint


def test_an_evaluation_that_was_stopped_goes_on(pixelwise, model, data, tmp_path, monkeypatch):
    words = ("evaluate", model, data, "--split", "all", "--json")
    whole, predict, asked = pixelwise(*words), WholeImage.__call__, []

    def stopping(self, image):
        asked.append(image)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return predict(self, image)

    monkeypatch.setattr(WholeImage, "__call__", stopping)
    stopped = pixelwise(*words, "--keep", tmp_path / "kept")
    assert stopped.code == 130
    assert f"what is done is kept in {tmp_path / 'kept'}" in stopped.err
    resumed = pixelwise(*words, "--keep", tmp_path / "kept")
    assert len(asked) == 4 + 7
    assert resumed.out == whole.out


def test_a_kept_evaluation_of_other_weights_is_refused(pixelwise, model, data, tmp_path):
    pixelwise("evaluate", model, data, "--keep", tmp_path / "kept")
    path = tmp_path / "kept" / "counts.jsonl"
    header, *lines = path.read_text().splitlines()
    about = json.loads(header)
    about["facts"]["weights"] = "0" * 16
    path.write_text("\n".join([json.dumps(about), *lines, ""]))
    complaint = pixelwise("evaluate", model, data, "--keep", tmp_path / "kept").complaint
    assert f"belongs to another evaluation, its weights is {'0' * 16} and not " in complaint
    assert "choose another folder" in complaint


def test_a_broken_picture_in_the_middle_leaves_the_others_kept(pixelwise, model, data, tmp_path):
    picture = data / "images" / "shapes_00003.png"
    good = picture.read_bytes()
    picture.write_bytes(good[:200])
    words = ("evaluate", model, data, "--split", "all", "--keep", tmp_path / "kept", "--json")
    assert (
        "with --keep DIR the other images are not lost"
        in pixelwise("evaluate", model, data, "--split", "all").complaint
    )
    complaint = pixelwise(*words).complaint
    assert "shapes_00003.png: not a readable picture" in complaint
    assert "the other 9 images are done and kept" in complaint
    picture.write_bytes(good)
    assert json.loads(pixelwise(*words).out)["images"] == 10


def test_the_report_is_a_page_that_needs_nothing_else(pixelwise, model, data, tmp_path):
    answer = pixelwise("evaluate", model, data, "--report", tmp_path / "report", "--json")
    assert f"report: {tmp_path / 'report' / 'report.html'}" in answer.err
    files = {path.name for path in (tmp_path / "report").iterdir()}
    assert files == {"report.html", "metrics.json", "per_image.csv"}
    numbers = json.loads((tmp_path / "report" / "metrics.json").read_text(), parse_constant=_refuse)
    assert numbers["models"][0]["mean_iou"]["value"] == json.loads(answer.out)["mean_iou"]
    HTMLParser().feed((tmp_path / "report" / "report.html").read_text())
