"""Predictions in a folder: read in every form, refused where they are no answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.conftest import Refuses
from tests.data.pictures import save_mask

from pixelwise.data.shapes import CLASSES, LABEL_SPEC, Shapes
from pixelwise.evaluation import answers
from pixelwise.evaluation.answers import Predictions, best_classes, is_predictions
from pixelwise.evaluation.evaluate import evaluate, match_classes
from pixelwise.labels import IGNORE, MAIN, LabelSpec, write_classes

SHAPES = Shapes(3, size=(40, 56))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Perfect predictions of three samples."""
    predictions = Predictions.begin(tmp_path / "predictions", LABEL_SPEC)
    for sample in SHAPES:
        predictions.write(sample.name, sample.labels[MAIN])
    return predictions.folder


@given(st.integers(1, 254), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32), st.booleans())
def test_the_best_class_is_that_of_argmax(classes: int, height: int, width: int, seed: int, cut: bool) -> None:
    few_values = np.random.default_rng(seed).integers(0, 4, (classes, height, width + 2))  # so that many are equal
    scores = few_values.astype(np.float32)[..., : width if cut else None]
    assert np.array_equal(best_classes(scores), scores.argmax(0))
    assert best_classes(scores).dtype == np.uint8


def test_large_pictures_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).normal(size=(5, 50, 30)).astype(np.float32)
    for cached in (1, 100, 2**15):
        monkeypatch.setattr(answers, "CACHED", cached)
        assert np.array_equal(best_classes(scores), scores.argmax(0))


def measured(folder: Path, data: Shapes = SHAPES) -> float:
    predictions = Predictions.read(folder)
    return evaluate(predictions, match_classes(data, predictions.label_spec.names).data).measures().mean_iou


def test_what_was_written_is_read(folder: Path) -> None:
    assert measured(folder) == 1


def test_classes_meet_by_name(folder: Path) -> None:
    swapped = [CLASSES[place] for place in (0, 2, 1, 3, 4, 5)]
    write_classes(folder / "classes.txt", LabelSpec(tuple(swapped)))
    assert measured(folder) < 1
    for sample in SHAPES:
        swapped_labels = np.array([0, 2, 1, 3, 4, 5], np.uint8)[sample.labels[MAIN]]
        Image.fromarray(swapped_labels).save(folder / f"{sample.name}.png")
    assert measured(folder) == 1


def test_colours_and_other_values_are_read_as_data_sets_are(folder: Path) -> None:
    lines = [f"#{10 * place:02x}0000 {name}" for place, name in enumerate(CLASSES)]
    (folder / "classes.txt").write_text("\n".join(lines))
    for sample in SHAPES:
        red = 10 * sample.labels[MAIN]
        Image.fromarray(np.stack([red, 0 * red, 0 * red], axis=2)).save(folder / f"{sample.name}.png")
    assert measured(folder) == 1


def _other_size(path: Path) -> None:
    save_mask(path, [0, 1], size=(20, 28))


def _strange_value(path: Path) -> None:
    save_mask(path, [0, 77], size=(40, 56))


def _nothing_said(path: Path) -> None:
    save_mask(path, [0, IGNORE], size=(40, 56))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def _text(path: Path) -> None:
    path.write_text("hello")


SPOILED: dict[Callable[[Path], None], tuple[str, ...]] = {
    _other_size: ("same pixels as the image, 40 high and 56 wide", "got (20, 28)"),
    _strange_value: ("holds the value 77 (1,120 pixels), which is no class",),
    _nothing_said: ("must hold classes 0..5, got 0..255", "255 is none"),
    _cut: ("not a readable label picture",),
    _text: ("not a readable label picture",),
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_file_that_is_no_answer_is_named(spoil: Callable[[Path], None], folder: Path, refuses: Refuses) -> None:
    spoil(folder / "shapes_00001.png")
    with refuses(str(folder / "shapes_00001.png"), *SPOILED[spoil]):
        measured(folder)


def test_missing_files_are_counted_before_anything_else(folder: Path, refuses: Refuses) -> None:
    (folder / "shapes_00002.png").unlink()
    with refuses("of the 3 ids of split 'val', 1 have no NAME.png with its prediction (first shapes_00002)"):
        Predictions.read(folder).refuse_missing(SHAPES.names, "val")
    with refuses("shapes_00002.png: no such file"):
        measured(folder)


def test_without_classes_values_mean_nothing(folder: Path, refuses: Refuses) -> None:
    (folder / "classes.txt").unlink()
    with refuses(str(folder), "needs classes.txt", "copy that of the data"):
        Predictions.read(folder)


def test_predictions_of_other_classes_are_not_mixed(folder: Path, refuses: Refuses) -> None:
    with refuses("classes.txt: holds other classes than the model has"):
        Predictions.begin(folder, LabelSpec(("cat", "dog")))
    assert Predictions.begin(folder, LABEL_SPEC).label_spec.names == CLASSES


def test_what_is_a_folder_of_predictions(folder: Path, tmp_path: Path) -> None:
    assert is_predictions(str(folder))
    (folder / "classes.txt").unlink()
    assert is_predictions(str(folder))  # so that the complaint is of the file that is missing
    (folder / "config.json").write_text("{}")
    assert not is_predictions(str(folder))
    (tmp_path / "empty").mkdir()
    assert not is_predictions(str(tmp_path / "empty"))
    assert not is_predictions("animals")
