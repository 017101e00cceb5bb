"""Training windows: where they lie, what they show, how often each class comes, and that an index is found only once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import Refuses

from pixelwise.data.augment import Augmentation
from pixelwise.data.batches import Batches
from pixelwise.data.folder import read_folder
from pixelwise.data.sample import Sample
from pixelwise.data.shapes import Shapes
from pixelwise.data.window_index import Centred, Proposed, WindowIndex, index_windows
from pixelwise.data.windows import RESIZED, Windows
from pixelwise.geometry import Box, square_around
from pixelwise.labels import IGNORE, MAIN, LabelSpec

SPEC = LabelSpec(("background", "cat", "dog", "cow"))
FILL = (7.0, 8.0, 9.0)
CAT, DOG, COW = (4, 6, 14, 16), (0, 20, 10, 25), (22, 30, 27, 40)


@dataclass(frozen=True)
class Three:
    """One picture of 30 x 40 with three objects: a cat, a dog at the upper rim, a cow at the right one; and a void line."""

    names: tuple[str, ...] = ("three",)
    label_spec: LabelSpec = SPEC
    looked: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        self.looked.append(index)
        labels, instances = np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.int32)
        for number, (y0, x0, y1, x1) in enumerate((CAT, DOG, COW), start=1):
            labels[y0:y1, x0:x1] = instances[y0:y1, x0:x1] = number
        labels[14, 6:16] = IGNORE
        image = np.stack([np.indices((30, 40))[0], np.indices((30, 40))[1], labels], axis=2).astype(np.uint8)
        return Sample(self.names[index], image, {MAIN: labels}, instances)

    def fingerprint(self) -> str:
        return f"{self.names} {self.label_spec}"


def shown(data: Three, index: WindowIndex, number: int, one_class: bool) -> tuple[NDArray, NDArray]:
    """A window at its own size: nothing is resampled."""
    high = int(index.boxes[number, 2] - index.boxes[number, 0])
    window = Windows(data, index, one_class=one_class, fill=FILL, side=high, balanced=False)[number]  # type: ignore[arg-type]
    return window.image, window.labels[MAIN]


def test_first_stage_windows_equal_what_is_expected_by_hand():
    data = Three()
    index = index_windows(data, Centred())  # type: ignore[arg-type]
    assert index.samples.tolist() == [0, 0, 0]
    assert index.classes.tolist() == [1, 2, 3]
    # cat: side 12 about (9, 11); dog: 12 about (5, 22.5); cow: 12 about (24.5, 35)
    assert index.boxes.tolist() == [[3, 5, 15, 17], [-1, 16, 11, 28], [18, 29, 30, 41]]

    _, cat = shown(data, index, 0, one_class=True)
    expected = np.zeros((12, 12), int)
    expected[1:11, 1:11] = 1
    expected[11, 1:11] = IGNORE
    np.testing.assert_array_equal(cat, expected)

    image, dog = shown(data, index, 1, one_class=True)
    expected = np.zeros((12, 12), int)
    expected[0] = IGNORE  # above the image
    expected[1:11, 4:9] = 2
    np.testing.assert_array_equal(dog, expected)
    assert (image[0] == FILL).all()
    assert (image[1:, :, 0] == np.arange(11)[:, None]).all()

    image, cow = shown(data, index, 2, one_class=True)
    expected = np.zeros((12, 12), int)
    expected[:, 11] = IGNORE  # right of the image
    expected[4:9, 1:11] = 3
    np.testing.assert_array_equal(cow, expected)
    assert (image[:, 11] == FILL).all()


def test_second_stage_windows_show_all_classes_around_what_overlaps_enough():
    data = Three()
    boxes = np.array(
        [[4, 6, 14, 16], [0, 0, 30, 40], [5, 6, 14, 16], [4, 16, 14, 26], [0, 20, 10, 29], [0, 20, 10, 31]]
    )
    # overlap with the nearest object: 1, 1/12, 0.9, 0.2, 5/9, 5/11
    stage = Proposed(lambda image: boxes, "six boxes")
    index = index_windows(data, stage)  # type: ignore[arg-type]
    assert index.classes.tolist() == [1, 1, 2]
    squares = [square_around(Box(*boxes[number]), 1.2) for number in (0, 2, 4)]
    assert index.boxes.tolist() == [[square.y0, square.x0, square.y1, square.x1] for square in squares]
    assert len(index_windows(data, replace(stage, overlap=0.45))) == 4  # type: ignore[arg-type]

    wide = index_windows(data, replace(stage, overlap=0.05))  # type: ignore[arg-type]
    _, labels = shown(data, wide, 1, one_class=False)  # the whole image: a square of 48 about its centre
    expected = np.full((48, 48), IGNORE)
    expected[9:39, 4:44] = data[0].labels[MAIN]
    np.testing.assert_array_equal(labels, expected)


def test_rare_classes_are_repeated():
    classes = np.array([1, 1, 1, 1, 1, 2, 2, 4], np.int16)
    index = WindowIndex(np.zeros(8, np.int32), np.zeros((8, 4), np.int32), classes)
    order = index.balanced()
    assert np.bincount(classes[order]).tolist() == [0, 5, 5, 0, 5]
    assert np.bincount(order).tolist() == [1, 1, 1, 1, 1, 3, 2, 5]
    assert len(WindowIndex(*(array[:0] for array in (index.samples, index.boxes, classes))).balanced()) == 0


def test_windows_are_resized_and_named_and_balanced():
    data = Shapes(count=5)
    index = index_windows(data, Centred())
    windows = Windows(data, index, one_class=True, fill=FILL)
    counts = np.bincount(index.classes)
    assert len(windows) == np.count_nonzero(counts) * counts.max()
    window = windows[0]
    box = index.boxes[windows.order[0]]
    assert window.size == (RESIZED, RESIZED)
    assert window.name == f"{data.names[index.samples[windows.order[0]]]}@{','.join(map(str, box))}"
    assert set(np.unique(window.labels[MAIN])) <= {0, int(index.classes[windows.order[0]]), IGNORE}


def test_batches_of_windows_follow_from_seed_and_position():
    data = Shapes(count=4)
    windows = Windows(data, index_windows(data, Centred()), one_class=True, fill=FILL)
    augmentation = Augmentation(crop=224, flip=0.5)
    batches = Batches(windows, 3, augmentation, FILL, seed=5)
    again = Batches(windows, 3, augmentation, FILL, seed=5)
    assert len(windows) % 3  # a pass ends inside a batch
    last = len(windows) // 3
    expected = [batches[number] for number in (last, 0, 1)]
    assert expected[0].images.shape == (3, 3, 224, 224)
    for number, batch in zip((last, 0, 1), expected, strict=True):
        assert torch.equal(again[number].images, batch.images)
        assert torch.equal(again[number].labels[MAIN], batch.labels[MAIN])
    for batch, resumed in zip(expected[1:], batches.loader(0, 2, workers=2), strict=True):
        assert torch.equal(batch.images, resumed.images)
        assert batch.names == resumed.names


def test_an_index_is_found_once_and_again_where_anything_changed(tmp_path: Path):
    cache = tmp_path / "windows.npz"
    first = Three()
    index = index_windows(first, Centred(), cache)  # type: ignore[arg-type]
    assert first.looked == [0]

    def found(data: Three, stage: Centred | Proposed) -> tuple[int, WindowIndex]:
        data.looked.clear()
        again = index_windows(data, stage, cache)  # type: ignore[arg-type]
        return len(data.looked), again

    looked, again = found(first, Centred())
    assert looked == 0
    for one, other in zip(vars(index).values(), vars(again).values(), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    boxes = np.array([CAT])
    for data, stage in [
        (first, Centred(enlarged=1.5)),
        (first, Centred(smallest_piece=7)),
        (Three(names=("other",)), Centred()),
        (Three(label_spec=LabelSpec(("background", "a", "b", "c"))), Centred()),
        (first, Proposed(lambda image: boxes, "one")),
        (first, Proposed(lambda image: boxes, "another")),
        (first, Proposed(lambda image: boxes, "another", overlap=0.6)),
    ]:
        assert found(data, stage)[0] == 1
        assert found(data, stage)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["windows.npz"]


@pytest.mark.parametrize("spoil", ["cut", "empty", "words", "another array", "a byte"])
def test_a_torn_cache_is_made_again(spoil: str, tmp_path: Path):
    cache, data = tmp_path / "windows.npz", Three()
    index = index_windows(data, Centred(), cache)  # type: ignore[arg-type]
    whole = cache.read_bytes()
    middle = len(whole) - 500
    with cache.open("wb") as file:
        if spoil == "another array":
            np.save(file, np.zeros(3))
        else:
            broken = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
            file.write({"cut": whole[:-30], "empty": b"", "words": b"no index", "a byte": broken}[spoil])
    data.looked.clear()
    again = index_windows(data, Centred(), cache)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.boxes, index.boxes)
    if spoil != "a byte":  # which may lie where it does not matter
        assert data.looked == [0]


def test_what_was_found_before_an_interruption_is_kept(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("pixelwise.data.window_index.SAVE_SECONDS", 0)
    data, cache = Three(names=tuple("abcdefgh")), tmp_path / "windows.npz"
    told = []

    def interrupted(done: int, of: int) -> None:
        told.append((done, of))
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_windows(data, Centred(), cache, progress=interrupted)  # type: ignore[arg-type]
    assert told == [(done, 8) for done in range(1, 7)]
    data.looked.clear()
    index = index_windows(data, Centred(), cache, workers=3)  # type: ignore[arg-type]
    assert sorted(data.looked) == [5, 6, 7]
    np.testing.assert_array_equal(index.samples, np.repeat(np.arange(8), 3))


def test_the_fingerprint_of_files_changes_with_any_of_them(tmp_path: Path):
    Shapes(count=3, size=(32, 40)).write(tmp_path / "data")
    data = read_folder(tmp_path / "data", None)
    before = data.fingerprint()
    assert read_folder(tmp_path / "data", None).fingerprint() == before
    assert data.with_classes(["background", "disc"]).fingerprint() != before
    assert data.subset(data.names[:2]).fingerprint() != before
    os.utime(next((tmp_path / "data" / "masks").iterdir()), ns=(1, 1))
    assert data.fingerprint() != before
    assert Shapes(count=3).fingerprint() != Shapes(count=3, seed=1).fingerprint()


def test_what_gives_no_windows_is_refused(refuses: Refuses):
    data = Three()
    with refuses("background", "classes.txt"):
        index_windows(Three(label_spec=LabelSpec(("sky", "cat", "dog", "cow"))), Centred())  # type: ignore[arg-type]
    with refuses("no object that a proposal overlaps", "1 images"):
        index_windows(data, Proposed(lambda image: np.zeros((0, 4), np.int64), "none"))  # type: ignore[arg-type]
    with refuses("no object in the 1 images"):
        index_windows(Shapes(count=1).with_classes(["background"]), Centred())
