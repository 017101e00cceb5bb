"""Classes found out from masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.conftest import Refuses
from tests.data.pictures import save_mask

from pixelwise.data.infer import infer_label_spec
from pixelwise.label_maps import read_label_map
from pixelwise.labels import IGNORE


def masks(folder: Path, *contents: Any, mode: str = "L", suffix: str = "png") -> list[Path]:
    """Save a mask for each list of values."""
    return [save_mask(folder / f"mask_{i}.{suffix}", values, mode=mode) for i, values in enumerate(contents)]


@pytest.mark.parametrize("mode", ["L", "P"])
@pytest.mark.parametrize(
    ("contents", "names", "raw"),
    [
        ([[0, 1]], ("background", "object"), {0: 0, 1: 1, 255: IGNORE}),
        ([[0], [0, 1, 255]], ("background", "object"), {0: 0, 1: 1, 255: IGNORE}),
        ([[0], [255]], ("background", "object"), {0: 0, 255: 1}),
        ([[0, 1], [2, 3]], ("class_0", "class_1", "class_2", "class_3"), {0: 0, 1: 1, 2: 2, 3: 3, 255: IGNORE}),
        ([[0, 7, 255], [40]], ("class_0", "class_7", "class_40"), {0: 0, 7: 1, 40: 2, 255: IGNORE}),
        ([[1, 2]], ("class_1", "class_2"), {1: 0, 2: 1, 255: IGNORE}),
    ],
)
def test_values(
    tmp_path: Path, contents: list[list[int]], names: tuple[str, ...], raw: dict[int, int], mode: str
) -> None:
    spec = infer_label_spec(masks(tmp_path, *contents, mode=mode))
    assert spec.names == names
    assert spec.raw == raw
    assert spec.coding == "index"


def test_colours(tmp_path: Path) -> None:
    paths = masks(tmp_path, [[0, 0, 0], [255, 128, 0]], [[0, 0, 255]])
    spec = infer_label_spec(paths)
    assert spec.names == ("#000000", "#0000ff", "#ff8000")
    assert spec.colours == ((0, 0, 0), (0, 0, 255), (255, 128, 0))
    assert spec.coding == "colour"
    assert read_label_map(paths[0], spec)[0, :2].tolist() == [0, 2]


def test_a_black_picture_among_colours_is_a_colour(tmp_path: Path) -> None:
    paths = masks(tmp_path, [[0, 0, 0]], [[0, 0, 0], [255, 0, 0]], [[255, 255, 255]])
    spec = infer_label_spec(paths)
    assert spec.names == ("#000000", "#ff0000", "#ffffff")
    assert read_label_map(paths[0], spec).max() == 0
    assert read_label_map(paths[2], spec).min() == 2


def test_grey_pictures_stored_as_rgb_hold_values(tmp_path: Path) -> None:
    assert infer_label_spec(masks(tmp_path, [[0, 0, 0], [3, 3, 3]])).names == ("class_0", "class_3")


def test_values_and_colours_mixed(tmp_path: Path, refuses: Refuses) -> None:
    paths = [*masks(tmp_path, [0, 1]), save_mask(tmp_path / "colour.png", [[255, 0, 0]])]
    with refuses("mask_0.png holds class values", "colour.png holds colours", "palette or grey PNG"):
        infer_label_spec(paths)


@pytest.mark.parametrize("values", [[0], [255], [4]])
def test_one_value_everywhere(tmp_path: Path, values: list[int], refuses: Refuses) -> None:
    with refuses("mask_0.png", f"every pixel of every mask is {values[0]}", "export the masks again"):
        infer_label_spec(masks(tmp_path, values, values))


def test_more_colours_than_classes_can_be(tmp_path: Path, refuses: Refuses) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    with refuses("photo.png", "400 values, at most 254", "as PNG"):
        infer_label_spec([tmp_path / "photo.png"])


def test_masks_blurred_by_jpeg(tmp_path: Path, refuses: Refuses) -> None:
    values = np.zeros((32, 32), np.uint8)
    values[8:20, 5:30] = 255
    Image.fromarray(values).save(tmp_path / "mask.jpg", quality=75)
    with refuses("mask.jpg", "saved as JPEG", "export the masks again as PNG"):
        infer_label_spec([tmp_path / "mask.jpg"])


def test_a_jpeg_that_blurred_nothing(tmp_path: Path) -> None:
    values = np.zeros((16, 16), np.uint8)
    values[8:] = 255  # along the blocks of JPEG
    Image.fromarray(values).save(tmp_path / "mask.jpg", quality=100)
    assert infer_label_spec([tmp_path / "mask.jpg"]).names == ("background", "object")


def test_smoothed_edges(tmp_path: Path, refuses: Refuses) -> None:
    values = np.zeros((64, 64), np.uint8)
    values[20:50, 10:50] = 255
    values[19, 10:50] = np.arange(40) * 6 + 3
    Image.fromarray(values).save(tmp_path / "mask.png")
    with refuses("mask.png", "smoothed edges", "without antialiasing", "classes.txt"):
        infer_label_spec([tmp_path / "mask.png"])


def test_many_classes_with_a_void_border_are_not_taken_for_smoothed(tmp_path: Path) -> None:
    values = np.zeros((64, 64), np.uint8)
    values[10:30] = np.arange(64) // 3
    values[9] = 255
    Image.fromarray(values).save(tmp_path / "mask.png")
    assert len(infer_label_spec([tmp_path / "mask.png"])) == 22


def test_unreadable_masks_are_passed_over_but_not_all(tmp_path: Path, refuses: Refuses) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert len(infer_label_spec([tmp_path / "broken.png", *masks(tmp_path, [0, 1])])) == 2
    with refuses("broken.png", "not a readable label picture"):
        infer_label_spec([tmp_path / "broken.png"])
    with refuses("no masks"):
        infer_label_spec([])
