"""An attempt goes on where it was killed and ends as one that was not; what is done is not done twice."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.conftest import Refuses
from tests.training.trainings import CutOffError
from torch.nn import Conv2d

from pixelwise.analysis import attempt as module
from pixelwise.analysis.attempt import Attempt
from pixelwise.analysis.reproduction import Reproduction, Row, Table, Training, trained
from pixelwise.analysis.tables import write_tables
from pixelwise.data.shapes import Shapes
from pixelwise.errors import InputError
from pixelwise.evaluation.bootstrap import difference
from pixelwise.evaluation.confusion import Measures
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.inference.loading import load
from pixelwise.inference.predictors import WholeImage
from pixelwise.inference.systems import Members, Node
from pixelwise.training.loop import Progress
from pixelwise.training.resumed import Judge
from pixelwise.training.two_stages import Statistics
from pixelwise.weights.checkpoint import load_checkpoint

DATA = Shapes(10, size=(48, 64))
FAST = (
    "network=fcn32s_lite0", "options={width: 0.05}", "init=none", "split=null", "select=train", "steps=4", "batch_size=2",
    "crop=64", "workers=0", "save_every=1", "divide_by=places", "learning_rate=0.01",
)  # fmt: skip
TINY = Reproduction(
    name="tiny",
    title="A tiny paper",
    trainings=(
        Training("coarse", "fcn32s_voc", FAST),
        Training("fine", "fcn16s_voc", (*FAST, "network=fcn16s_lite0", "init=model"), after="coarse"),
    ),
    systems={"both": Node(ensemble=Members(of=(trained("coarse"), trained("fine"))))},
    tables=(
        Table(
            "Strides",
            "val",
            (
                Row("coarse", "coarse", 10.5, "A paper, table 1"),
                Row("lost", None, 11.0, "A paper, table 1"),
                Row("fine", "fine", 12.0, "A paper, table 1"),
                Row("both", "both", 13.0, "A paper, table 1"),
            ),
            pictured=("coarse", "both"),
        ),
    ),
    remarks=("Nothing is learned.",),
)


def attempt_in(folder: Path, of: Reproduction = TINY, data: Shapes = DATA) -> Attempt:
    return Attempt(of, folder, data.split, data.splits)


def judge(watch: Callable[[Progress], None] = lambda _: None) -> Judge:
    def count(network, data, part, parts):
        return evaluate(WholeImage(network, "cpu"), data, part=part, parts=parts).counts

    return Judge(count, lambda counts: Measures.of(counts).mean_iou, watch)


def carried_out(attempt: Attempt, watch: Callable[[Progress], None] = lambda _: None) -> list[str]:
    """Do what is left, and say what that was."""
    done = []
    with attempt.begun():
        for training in attempt.reproduction.trainings:
            if not attempt.is_trained(training):
                assert attempt.train(training, judge(watch))
                done.append(training.name)
        for systems, split in attempt.measurable():
            attempt.results.measure(systems, split, lambda done, of: None)
            done += [f"measured {system}" for system in systems]
        write_tables(attempt, {"data": "shapes"})
    return done


def traces(folder: Path) -> dict[str, object]:
    """All that must not depend on whether an attempt was killed."""
    weights = {path.parts[-3]: path.read_bytes() for path in folder.glob("runs/*/model/*.safetensors")}
    page, trainings, _ = (folder / "page.html").read_text(encoding="utf-8").partition("Every key of a recipe")
    assert trainings  # their minutes differ
    return {**weights, "tables": (folder / "tables.csv").read_text(), "page": page}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "attempt"
    assert carried_out(attempt_in(folder)) == ["coarse", "fine", "measured coarse", "measured fine", "measured both"]
    return folder


def test_ours_stands_beside_the_published_number(whole: Path) -> None:
    lines = list(csv.DictReader((whole / "tables.csv").read_text(encoding="utf-8").splitlines()))
    assert [line["row"] for line in lines] == ["coarse", "lost", "fine", "both"]
    assert [line["published_mean_iou_percent"] for line in lines] == ["10.5", "11.0", "12.0", "13.0"]
    assert [bool(line["mean_iou"]) for line in lines] == [True, False, True, True]
    for line in lines:
        if line["mean_iou"]:
            own = evaluate(load(whole / "systems" / line["system"]).predictor, DATA.split("val")).measures()
            assert float(line["mean_iou"]) == pytest.approx(own.mean_iou, abs=1e-6)
            assert float(line["pixel_accuracy"]) == pytest.approx(own.pixel_accuracy, abs=1e-6)
    text = (whole / "table.md").read_text(encoding="utf-8")
    assert "| lost | 11.0 | – | – | A paper, table 1 |" in text
    assert f"| fine | 12.0 | {100 * float(lines[2]['mean_iou']):.1f} | " in text
    assert "| fine | fcn16s_lite0 | fcn16s_voc, changed | coarse | 4 |" in text
    assert "- Nothing is learned." in text


def test_the_page_holds_tables_and_pictures(whole: Path) -> None:
    page = (whole / "page.html").read_text(encoding="utf-8")
    assert page.count("<table") == 2
    assert "A paper, table 1" in page
    assert "Nothing is learned." in page
    assert page.count("<figure") == len(DATA.split("val"))  # of which there are two
    assert all(f"{name}: the image" in page for name in DATA.split("val").names)


def test_claims_sizes_and_parts_of_the_images(tmp_path: Path) -> None:
    first, second = TINY.trainings
    of = replace(
        TINY,
        trainings=(first, replace(second, every=2)),
        tables=(
            Table("Sizes", "val", (Row("coarse", "coarse"), Row("both", "both")), by_size=True),
            Table("Claims", "val", (Row("finer is better", "fine", against="coarse"),)),
        ),
    )
    data = Shapes(20, size=(48, 64))
    attempt = Attempt(of, tmp_path, data.split, data.splits, images=2)
    assert carried_out(attempt) == ["coarse", "fine", "measured coarse", "measured both", "measured fine"]
    names = data.split("val").names
    assert len(names) == 4
    shown = attempt.results.evaluation("both", "val").images
    assert shown == (names[0], names[2])  # evenly
    learned = (tmp_path / "runs" / "fine" / "training_ids.txt").read_text(encoding="utf-8").split()
    assert learned == list(data.split("train").names[::2])
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    coarse, fine = (attempt.results.evaluation(system, "val") for system in ("coarse", "fine"))
    gain = difference(coarse, fine)
    ours, beside = (f"{100 * one.measures().mean_iou:.1f}" for one in (fine, coarse))
    within = f"{100 * gain.low:.1f} to {100 * gain.high:.1f}"
    assert f"| finer is better | {ours} | {beside} | {100 * gain.value:+.1f} | {within} |" in text
    sizes = evaluate(load(tmp_path / "systems" / "both").predictor, data.split("val").subset(shown), thorough=True)
    buckets = sizes.size_buckets([name for name in sizes.classes if name != "background"])
    assert buckets is not None
    assert f"16 to 32: {buckets.objects[1]}" in text
    (line,) = re.findall(r"^\| both \|(.*)\|$", text, re.MULTILINE)
    told = [cell.strip() for cell in line.split("|")]
    assert told == ["–" if part != part else f"{100 * part:.1f}" for part in buckets.accuracy]
    with pytest.raises(InputError, match="other images"):
        carried_out(Attempt(of, tmp_path, data.split, data.splits))


def test_what_is_done_is_not_done_twice(whole: Path) -> None:
    before = traces(whole)
    assert carried_out(attempt_in(whole)) == []
    assert traces(whole) == before


@pytest.mark.parametrize("cut", [1, 3, 6])
def test_a_killed_attempt_ends_as_one_that_was_not(whole: Path, cut: int, tmp_path: Path) -> None:
    steps = 0

    def watch(_: Progress) -> None:
        nonlocal steps
        steps += 1
        if steps == cut:
            raise CutOffError

    with pytest.raises(CutOffError):
        carried_out(attempt_in(tmp_path), watch)
    left = ["coarse"] if cut <= 4 else []
    assert carried_out(attempt_in(tmp_path))[: len(left) + 1] == [*left, "fine"]
    assert traces(tmp_path) == traces(whole)


def test_a_measuring_that_was_cut_off_goes_on(whole: Path, tmp_path: Path) -> None:
    carried_out(attempt_in(tmp_path))
    (tmp_path / "results" / "both.json").unlink()
    shutil.rmtree(tmp_path / "predictions" / "both")
    again = attempt_in(tmp_path)

    def cut(done: int, of: int) -> None:
        raise CutOffError

    with pytest.raises(CutOffError):
        again.results.measure(["both"], "val", cut)
    seen: list[int] = []
    again.results.measure(["both"], "val", lambda done, of: seen.append(done))
    assert seen == [2]
    assert traces(tmp_path)["tables"] == traces(whole)["tables"]


def test_a_training_goes_on_from_the_trunk_of_another(tmp_path: Path) -> None:
    words = tuple(
        word for word in FAST if not word.startswith(("steps", "network", "options", "init", "crop", "learning_rate"))
    )
    of_fcn = (
        "network=fcn8s_atonce_vgg16",
        "options={width: 0.0625, decoder_width: 0.015625}",
        "init=none",
        "steps=1",
        "crop=64",
    )
    of_mirror = ("options={width: 0.0625, decoder_width: 0.015625}", "crop=224", "edges=gradient")
    of = Reproduction(
        name="trunks",
        title="A paper of two networks",
        trainings=(
            Training("classes", "fcn8s_atonce_voc", (*words, *of_fcn)),
            Training(
                "mirror",
                ("deconvnet_small_stage1", "deconvnet_small_stage2"),
                (*words, *of_mirror),
                trunk="classes",
                steps=(1, 1),
                statistics=Statistics(batch_size=2, passes=1),
            ),
        ),
        tables=(Table("Networks", "val", (Row("mirror", "mirror"), Row("classes", "classes"))),),
    )
    assert carried_out(attempt_in(tmp_path, of)) == ["classes", "mirror", "measured mirror", "measured classes"]
    learned, start = (
        load_checkpoint(tmp_path / place).network.backbone for place in ("runs/classes/model", "starts/mirror")
    )
    first, ours = (next(one for one in net.modules() if isinstance(one, Conv2d)) for net in (learned, start))
    torch.testing.assert_close(ours.weight, first.weight, rtol=0, atol=0)
    (line,) = [line for line in (tmp_path / "table.md").read_text(encoding="utf-8").split("\n") if "stage1" in line]
    assert "| the trunk of classes |" in line


def test_a_system_of_other_weights_is_measured_again(tmp_path: Path) -> None:
    carried_out(attempt_in(tmp_path))
    other, fine = (next((tmp_path / "runs" / name / "model").glob("*.safetensors")) for name in ("fine", "coarse"))
    again = attempt_in(tmp_path)
    assert again.results.has("coarse", "val")
    fine.write_bytes(other.read_bytes())
    assert not again.results.has("coarse", "val")
    assert not again.results.has("both", "val")
    assert again.results.has("fine", "val")


def test_other_recipes_systems_and_data_are_refused(whole: Path, refuses: Refuses) -> None:
    first, second = TINY.trainings
    longer = replace(TINY, trainings=(replace(first, changes=(*FAST, "steps=5")), second))
    for of, data, what in (
        (longer, DATA, "other recipes"),
        (replace(TINY, name="other", systems=TINY.systems), DATA, "other reproduction, other and not tiny"),
        (replace(TINY, systems={"both": trained("fine")}), DATA, "other systems"),
        (TINY, Shapes(15, size=(48, 64)), "other images"),
        (TINY, DATA.with_classes(["background", "disc"]), "other classes"),
    ):
        with refuses("began with", what, "choose another --out"):
            carried_out(attempt_in(whole, of, data))
    assert json.loads((whole / "reproduction.json").read_text())["reproduction"] == "tiny"


def test_a_missing_split_or_start_is_refused_before_anything_is_written(tmp_path: Path, refuses: Refuses) -> None:
    folder = tmp_path / "attempt"
    with refuses("no image in 'val'"):
        carried_out(attempt_in(folder, data=Shapes(4, size=(48, 64))))
    fixed = (Training("vgg", "fcn32s_voc", ("split=null",)),)
    tables = (Table("One", "val", (Row("vgg", "vgg", 1.0, "A paper"),), pictured=("vgg",)),)
    vgg = replace(TINY, trainings=fixed, systems={}, tables=tables)
    with refuses(
        "fcn32s_vgg16 starts from an ImageNet classifier", "no --start was given", "import-weights", "--small"
    ):
        carried_out(attempt_in(folder, vgg))
    started = Attempt(vgg, folder, DATA.split, DATA.splits, start=tmp_path)
    with refuses("starts from an ImageNet classifier", f"{tmp_path} has none"):
        carried_out(started)
    mirror = Training("vgg", ("deconvnet_small_stage1", "deconvnet_small_stage2"), ("split=null", "init=none"))
    with refuses("edges=hed", "--hed FILE"):  # which only the second stage needs
        carried_out(attempt_in(folder, replace(vgg, trainings=(mirror,))))
    assert not folder.exists()
    assert module.RECORD == "reproduction.json"
