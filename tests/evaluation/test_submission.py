"""What VOC's server takes: every file there, indexed, of its image's size, with classes 0 to 20, or nothing at all."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.conftest import Refuses
from tests.data.pictures import save_image

from pixelwise.data.dataset import Entry, FileDataSet
from pixelwise.data.voc import VOC_CLASSES
from pixelwise.evaluation.answers import Predictions
from pixelwise.evaluation.submission import submission_faults, write_submission
from pixelwise.labels import LabelSpec

SIZES = {"2008_000001": (4, 6), "2008_000002": (5, 3), "2008_000006": (2, 2)}
SCORES = ("tvmonitor", "background", "cat")


@pytest.fixture
def data(tmp_path: Path) -> FileDataSet:
    """Three images without labels."""
    entries = [Entry(name, save_image(tmp_path / f"{name}.png", size=size)) for name, size in SIZES.items()]
    return FileDataSet(tuple(entries), LabelSpec(VOC_CLASSES))


def always(place: int, classes: int = 3) -> Callable[[NDArray], NDArray[np.float32]]:
    return lambda image: np.stack([np.full(image.shape[:2], i == place, np.float32) for i in range(classes)])


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_and_archive_are_where_the_server_looks(data: FileDataSet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    archive = write_submission(out, always(2), SCORES, data)
    files = [f"results/VOC2012/Segmentation/comp6_test_cls/{name}.png" for name in SIZES]
    assert archive == out / "comp6_test_cls.tar.gz"
    assert written(out) == ["comp6_test_cls.tar.gz", *files]
    with tarfile.open(archive) as packed:
        assert sorted(entry.name for entry in packed if entry.isfile()) == files
        assert {entry.uname for entry in packed} == {""}
        packed.extractall(tmp_path / "unpacked", filter="data")
    for name, size in SIZES.items():
        with Image.open(tmp_path / "unpacked" / files[0].replace("2008_000001", name)) as picture:
            assert (picture.mode, picture.size) == ("P", size[::-1])
            assert np.unique(np.asarray(picture)).tolist() == [VOC_CLASSES.index("cat")]
            assert picture.convert("RGB").getpixel((0, 0)) == (64, 0, 0)  # VOC's colour of a cat


@pytest.mark.parametrize(("place", "name"), list(enumerate(SCORES)))
def test_classes_are_brought_to_the_places_of_voc_by_name(
    place: int, name: str, data: FileDataSet, tmp_path: Path
) -> None:
    write_submission(tmp_path / "out", always(place), SCORES, data, competition="comp5")
    labels = Image.open(tmp_path / "out/results/VOC2012/Segmentation/comp5_test_cls/2008_000001.png")
    assert np.unique(np.asarray(labels)).tolist() == [VOC_CLASSES.index(name)]


def test_an_older_submission_is_replaced_and_anything_else_is_left_alone(
    data: FileDataSet, tmp_path: Path, refuses: Refuses
) -> None:
    out = tmp_path / "out"
    write_submission(out, always(0), SCORES, data)
    write_submission(out, always(1), SCORES, data.subset(["2008_000002"]))
    assert len(written(out)) == 2
    (out / "thesis.tex").write_text("years of work")
    with refuses("holds other files (first thesis.tex)", "choose another --out"):
        write_submission(out, always(1), SCORES, data)
    assert (out / "thesis.tex").exists()


def test_a_class_that_voc_does_not_have_is_named(data: FileDataSet, tmp_path: Path, refuses: Refuses) -> None:
    with refuses("the model's class 'hedgehog' is none of VOC's 21"):
        write_submission(tmp_path / "out", always(0), ("background", "cat", "hedgehog"), data)
    assert not (tmp_path / "out").exists()


def test_what_the_server_would_refuse_is_never_written(data: FileDataSet, tmp_path: Path, refuses: Refuses) -> None:
    def half(image: NDArray) -> NDArray[np.float32]:
        return np.zeros((3, 2, 2), np.float32)

    with refuses("2008_000001.png is 2 high and 2 wide, but its image is 4 high and 6 wide (and 1 more)"):
        write_submission(tmp_path / "out", half, SCORES, data)
    with refuses("2008_000001.png holds the value 255 (24 pixels), expected 0..20"):
        write_submission(tmp_path / "out", always(3, classes=4), SCORES, data)
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_predictions_of_another_program_are_packed_too(data: FileDataSet, tmp_path: Path) -> None:
    kept = Predictions.begin(tmp_path / "kept", LabelSpec(("cat", "background")))
    for name, size in SIZES.items():
        kept.write(name, np.zeros(size, np.uint8))
    write_submission(tmp_path / "out", kept, kept.label_spec.names, data)
    labels = np.asarray(Image.open(tmp_path / "out/results/VOC2012/Segmentation/comp6_test_cls/2008_000002.png"))
    assert np.array_equal(labels, np.full((5, 3), VOC_CLASSES.index("cat")))


def test_every_fault_is_named(tmp_path: Path) -> None:
    good = Image.fromarray(np.full((4, 6), 20, np.uint8)).convert("P")
    for name in ("a", "b", "d", "e"):
        good.save(tmp_path / f"{name}.png")
    assert submission_faults(tmp_path, dict.fromkeys("abde", (4, 6))) == []
    Image.fromarray(np.full((4, 6), 20, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"hello")
    high = Image.fromarray(np.full((4, 6), 21, np.uint8))
    high.putpalette(bytes(768))
    high.save(tmp_path / "d.png")
    faults = submission_faults(tmp_path, {"a": (4, 6), "b": (4, 6), "c": (4, 6), "d": (4, 6)})
    assert faults[0] == "e.png belongs to no image of the list"
    assert faults[1] == "a.png is a picture of mode L, expected indexes with a palette (P)"
    assert faults[2].startswith("b.png cannot be read (")
    assert faults[3:] == ["c.png is missing", "d.png holds the value 21 (24 pixels), expected 0..20"]
    assert submission_faults(tmp_path / "nowhere", {"a": (4, 6)}) == ["a.png is missing"]
