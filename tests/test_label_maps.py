"""Label maps in every form in which they come, and the pictures drawn of them."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from tests.conftest import Refuses
from tests.data.pictures import save_mask

from pixelwise.errors import InputError
from pixelwise.label_maps import (
    classes_of,
    colourise,
    overlay,
    read_label_map,
    read_raw_labels,
    value_name,
    write_label_map,
)
from pixelwise.labels import IGNORE, LabelSpec

SPEC = LabelSpec(("background", "cat", "dog"))
COLOURS = LabelSpec(("black", "red"), ((0, 0, 0), (255, 0, 0)), {0: 0, 0xFF0000: 1, 0xFFFFFF: IGNORE}, "colour")


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *((mode, suffix) for mode in ("L", "P", "LA", "RGB", "RGBA", "I;16") for suffix in (".png", ".tif")),
        ("I", ".tif"),
    ],
)
def test_index_masks_of_every_mode_read_alike(tmp_path: Path, mode: str, suffix: str) -> None:
    values = np.array([[0, 1, 2], [255, 2, 1]], np.uint8)
    picture = Image.fromarray(values)
    if mode == "I;16":
        picture = Image.fromarray(values.astype(np.uint16))
    elif mode == "P":
        picture.putpalette(list(range(255, -1, -1)) * 3)
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / f"mask{suffix}")
    assert np.array_equal(read_label_map(tmp_path / f"mask{suffix}", SPEC), values)


def test_a_one_bit_mask_is_zeros_and_ones(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "mask.png")
    assert read_label_map(tmp_path / "mask.png", SPEC).tolist() == [[0, 1]]


def test_a_16_bit_mask_may_hold_large_values(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 40000]], np.uint16)).save(tmp_path / "mask.png")
    spec = LabelSpec(("a", "b"), raw={0: 0, 40000: 1})
    assert read_label_map(tmp_path / "mask.png", spec).tolist() == [[0, 1]]


def test_colour_masks_are_read_by_their_colours(tmp_path: Path) -> None:
    path = save_mask(tmp_path / "mask.png", [[255, 0, 0], [0, 0, 0], [255, 255, 255]], size=(1, 3))
    assert read_raw_labels(path)[1] == "colour"
    assert read_label_map(path, COLOURS).tolist() == [[1, 0, IGNORE]]


@pytest.mark.parametrize(("grey", "label"), [(0, 0), (255, IGNORE)])
def test_a_grey_picture_of_a_colour_set_holds_colours(tmp_path: Path, grey: int, label: int) -> None:
    path = save_mask(tmp_path / "mask.png", [[grey] * 3], size=(1, 2))
    assert read_label_map(path, COLOURS).tolist() == [[label, label]]


def test_a_colour_mask_where_values_are_expected(tmp_path: Path, refuses: Refuses) -> None:
    path = save_mask(tmp_path / "mask.png", [[255, 0, 0]])
    with refuses("mask.png", "a colour picture", "classes.txt", "#rrggbb"):
        read_label_map(path, SPEC)


def test_a_value_that_is_no_class(tmp_path: Path, refuses: Refuses) -> None:
    path = save_mask(tmp_path / "mask.png", [0, 7, 7])
    with refuses("mask.png", "value 7 (16 pixels)", "0..2 or 255", "'7 NAME ignore'", "classes.txt"):
        read_label_map(path, SPEC)


def test_a_colour_that_is_no_class(tmp_path: Path, refuses: Refuses) -> None:
    path = save_mask(tmp_path / "mask.png", [[0, 255, 0], [0, 0, 0]])
    with refuses("mask.png", "#00ff00", "one of 3 colours", "'#00ff00 NAME'"):
        read_label_map(path, COLOURS)


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 3, 7, 9, 255])))
def test_bytes_are_looked_up_as_wider_numbers_are_searched(raw: np.ndarray) -> None:
    spec = LabelSpec(("a", "b"), raw={0: 1, 3: 0, 7: IGNORE, 255: IGNORE, 40000: 1})
    answers = []
    for values in (raw, raw.astype(np.int32)):
        try:
            answers.append(classes_of(values, spec, "mask").tolist())
        except InputError as error:
            answers.append(str(error))
    assert answers[0] == answers[1]
    if 9 not in raw:
        assert answers[0] == [[spec.raw[value] for value in row] for row in raw.tolist()]
    else:
        assert f"the value 9 ({(raw == 9).sum()} pixels)" in answers[0]


def test_values_are_called_as_in_classes_txt() -> None:
    assert value_name(7, "index") == "7"
    assert value_name(0x0080FF, "colour") == "#0080ff"


def test_files_that_are_no_label_maps(tmp_path: Path, refuses: Refuses) -> None:
    with refuses("none.png", "no such file"):
        read_label_map(tmp_path / "none.png", SPEC)
    (tmp_path / "text.png").write_text("no picture")
    with refuses("text.png", "not a readable label picture", "PNG"):
        read_label_map(tmp_path / "text.png", SPEC)
    Image.new("CMYK", (3, 3)).save(tmp_path / "cmyk.jpg")
    with refuses("cmyk.jpg", "mode CMYK", "indexed or 8-bit grey PNG"):
        read_label_map(tmp_path / "cmyk.jpg", SPEC)


def test_a_truncated_mask_is_refused(tmp_path: Path, refuses: Refuses) -> None:
    path = save_mask(tmp_path / "mask.png", [0, 1], size=(64, 64))
    path.write_bytes(path.read_bytes()[:60])
    with refuses("mask.png", "not a readable label picture", "save it again"):
        read_label_map(path, SPEC)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_mask_is_read_or_refused(tmp_path: Path, place: float, byte: int, cut: bool) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) % 3).save(buffer, "PNG")
    damaged = bytearray(buffer.getvalue())
    position = int(place * len(damaged))
    damaged[position] = byte
    path = tmp_path / "mask.png"
    path.write_bytes(damaged[:position] if cut else damaged)
    with suppress(InputError):
        assert read_label_map(path, SPEC).dtype == np.uint8


label_maps = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 2, 255]))


@given(label_maps)
def test_a_written_label_map_is_read_back(tmp_path_factory: pytest.TempPathFactory, labels: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("maps") / "mask.png"
    write_label_map(path, labels, SPEC)
    assert np.array_equal(read_label_map(path, SPEC), labels)
    with Image.open(path) as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture.convert("RGB")), colourise(labels, SPEC))


def test_a_written_label_map_keeps_values_that_are_no_class(tmp_path: Path) -> None:
    labels = np.array([[0, 9]], np.uint8)
    write_label_map(tmp_path / "mask.png", labels, SPEC)
    assert read_raw_labels(tmp_path / "mask.png")[0].tolist() == [[0, 9]]


def test_colours_of_classes_and_of_ignore() -> None:
    spec = LabelSpec(("a", "b"), ((1, 2, 3), (4, 5, 6)))
    assert colourise(np.array([[0, 1, 255]], np.uint8), spec).tolist() == [[[1, 2, 3], [4, 5, 6], [224, 224, 192]]]


def test_an_overlay_tints_classes_and_marks_their_borders() -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    labels = np.zeros((4, 4), np.uint8)
    labels[:, 2:] = 1  # cat: (128, 0, 0)
    drawn = overlay(image, labels, SPEC, legend=False)
    assert drawn[0, 0].tolist() == [100, 100, 100]  # background is clear
    assert drawn[0, 2].tolist() == [255, 255, 255]  # the border
    assert drawn[0, 3].tolist() == [114, 50, 50]
    assert image.min() == image.max() == 100  # the image itself is left alone


def test_an_overlay_leaves_ignored_pixels_clear() -> None:
    image = np.full((3, 3, 3), 100, np.uint8)
    assert np.array_equal(overlay(image, np.full((3, 3), IGNORE, np.uint8), SPEC), image)


def test_the_legend_names_only_what_is_there() -> None:
    image = np.full((120, 200, 3), 100, np.uint8)
    cat = np.ones((120, 200), np.uint8)
    with_legend, without = (overlay(image, cat, SPEC, legend=legend) for legend in (True, False))
    changed = (with_legend != without).any(axis=2)
    assert changed[:20].any()
    assert not changed[60:].any()  # one line of it, at the top
