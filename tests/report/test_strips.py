"""Pictures of a page, decoded again: what is drawn where, and in which colours."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from pixelwise.data.shapes import LABEL_SPEC
from pixelwise.labels import IGNORE, LabelSpec
from pixelwise.report.colours import ERROR, OKABE_ITO, distinct, heated, painted
from pixelwise.report.strips import (
    BANDS,
    LONGEST_SIDE,
    WINDOW,
    Looked,
    error_map,
    heat_panel,
    label_panel,
    legend,
    occurring,
    photograph_panel,
    row,
    strip,
    trimap_drawn,
)

GREY = np.full((4, 8, 3), 100, np.uint8)


def pictures(markup) -> dict[str, np.ndarray]:
    """The pictures of some markup by their alternative texts."""
    found = re.findall(r'<img src="data:image/\w+;base64,([^"]+)" alt="([^"]*)">', markup)
    return {alt: np.array(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data, alt in found}


def looked(truth, **predicted) -> Looked:
    truth = np.array(truth, np.uint8)
    image = np.full((*truth.shape, 3), 100, np.uint8)
    return Looked("picture", image, truth, {name: np.array(labels, np.uint8) for name, labels in predicted.items()})


def test_errors_have_a_colour_of_their_own_what_is_right_is_grey_and_what_is_ignored_is_white():
    assert "#{:02x}{:02x}{:02x}".format(*ERROR) not in OKABE_ITO
    truth, predicted = np.array([[0, 1, IGNORE, IGNORE]], np.uint8), np.array([[0, 0, 0, 1]], np.uint8)
    ((right, wrong, *ignored),) = error_map(GREY[:1, :4], truth, predicted).tolist()
    assert right[0] == right[1] == right[2] > 150
    assert tuple(wrong) == ERROR
    assert ignored == [[255] * 3] * 2


def test_a_strip_is_image_truth_prediction_and_errors():
    seen = pictures(strip(looked([[0, 1]] * 2, model=[[0, 2]] * 2), LABEL_SPEC, "said"))
    assert list(seen) == [
        "picture: the image",
        "picture: the truth, with background, disc",
        "picture: predicted by model, with background, square",
        "picture: 50.0% of the labelled pixels are wrong by model",
    ]
    assert {picture.shape for picture in seen.values()} == {(LONGEST_SIDE, LONGEST_SIDE, 3)}
    image, truth, predicted, errors = seen.values()
    half = LONGEST_SIDE // 2
    assert np.abs(image.astype(int) - 100).max() <= 2
    assert (truth[:, :half] == 0).all()  # the first class is black
    assert (truth[:, half:] == Image.new("RGB", (1, 1), OKABE_ITO[1]).getpixel((0, 0))).all()
    assert (predicted[:, half:] == Image.new("RGB", (1, 1), OKABE_ITO[2]).getpixel((0, 0))).all()
    assert np.abs(errors[:, half + 8 :].astype(int) - ERROR).max() <= 3  # JPEG


def test_several_models_are_named_in_their_panels():
    several = strip(looked([[0, 1]], a=[[0, 1]], b=[[1, 1]]), LABEL_SPEC, "said")
    assert len(pictures(several)) == 6
    assert re.findall(r"<span>([^<]*)</span>", several) == [
        "image", "truth", "a: prediction", "a: errors", "b: prediction", "b: errors",
    ]  # fmt: skip


def test_what_is_not_labelled_takes_no_part_in_the_share_of_errors():
    assert "picture: 100.0% of the" in strip(looked([[0, IGNORE]], m=[[1, 1]]), LABEL_SPEC, "")
    assert "picture: 0.0% of the" in strip(looked([[IGNORE, IGNORE]], m=[[1, 1]]), LABEL_SPEC, "")


@pytest.mark.parametrize(("size", "shown"), [((640, 320), (320, 160)), ((2, 1000), (1, 320)), ((30, 40), (240, 320))])
def test_pictures_keep_their_shape(size, shown):
    zeros = np.zeros(size, np.uint8)
    seen = pictures(strip(looked(zeros, m=zeros), LABEL_SPEC, ""))
    assert {picture.shape[:2] for picture in seen.values()} == {shown}


def test_a_thin_error_in_a_large_image_does_not_vanish():
    truth = np.zeros((1000, 1000), np.uint8)
    predicted = truth.copy()
    predicted[:, 501] = 1  # nearest neighbours at a third of the size would miss most such lines
    *_, errors = pictures(strip(looked(truth, m=predicted), LABEL_SPEC, "")).values()
    reddest = (errors[..., 0].astype(int) - errors[..., 2]).max(axis=1)
    assert (reddest > 20).all()


def test_forty_classes_are_forty_different_looks():
    spec = LabelSpec(tuple(f"class {index}" for index in range(40)))
    looks = {painted(np.full((16, 16), index, np.uint8), spec).tobytes() for index in range(40)}
    assert len(looks) == 40
    plain = [painted(np.full((16, 16), index, np.uint8), spec) for index in range(8)]
    assert all((picture == picture[0, 0]).all() for picture in plain)
    assert len(np.unique([picture[0, 0] for picture in plain], axis=0)) == 8


def test_any_number_of_classes_can_be_painted():
    spec = LabelSpec(tuple(f"class {index}" for index in range(254)))
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = painted(every, spec)
    assert picture.shape == (16, 16, 3)
    assert (picture[every == IGNORE] == 255).all()
    assert distinct(spec).names == spec.names


def test_the_legend_names_what_is_to_be_seen():
    looks = [looked([[0, 2]], m=[[0, IGNORE]]), looked([[0, 0]], m=[[5, 0]])]
    assert occurring(looks) == [0, 2, 5]
    text = re.sub(r"<[^>]*>", " ", legend([0, 2, 5], LABEL_SPEC))
    assert text.split() == ["background", "square", "line", "wrong", "not", "counted"]


def test_the_bands_of_a_trimap_are_as_wide_as_they_say():
    truth = np.zeros((WINDOW, WINDOW), np.uint8)
    truth[:, 80:] = 1
    drawn = trimap_drawn(looked(truth), LABEL_SPEC)
    assert drawn is not None
    *_, narrow, wide = pictures(drawn).values()
    for picture, width in ((narrow, BANDS[0]), (wide, BANDS[1])):
        inside = (picture.astype(int) < 180).all(-1)  # the image is grey 100, what is outside is white
        assert inside.sum(axis=1) / LONGEST_SIDE * WINDOW == pytest.approx(2 * width, abs=1)


def test_what_is_ignored_is_in_no_band():
    truth = np.zeros((40, 40), np.uint8)
    truth[:, 20:23] = IGNORE
    truth[:, 23:] = 1
    drawn = trimap_drawn(looked(truth), LABEL_SPEC)
    assert drawn is not None
    *_, wide = pictures(drawn).values()
    shown = LONGEST_SIDE // 40
    assert (wide[:, 20 * shown + shown : 22 * shown] > 200).all()


def test_the_bands_are_drawn_where_the_boundaries_are():
    truth = np.zeros((400, 600), np.uint8)
    truth[300:310, 500:510] = 1
    drawn = trimap_drawn(looked(truth), LABEL_SPEC)
    assert drawn is not None
    _, of_truth, *_ = pictures(drawn).values()
    assert of_truth.any()  # the disc is not black
    assert trimap_drawn(looked(np.zeros((50, 50))), LABEL_SPEC) is None


def test_heat_goes_from_black_to_white_and_ever_lighter():
    shades = heated(np.linspace(-0.5, 1.5, 41)[None])[0]
    assert (shades[:11] == 0).all()
    assert (shades[30:] == 255).all()
    grey = shades @ [0.299, 0.587, 0.114]
    assert (np.diff(grey[10:31]) > 0).all()


def test_a_row_has_the_panels_that_it_was_given():
    panels = [
        photograph_panel("one", GREY, "an image"),
        label_panel("two", np.array([[0, 1]], np.uint8), LABEL_SPEC, "a label map"),
        heat_panel("three", np.array([[0.0, 1.0]]), "heat"),
    ]
    markup = row(panels, "said")
    seen = pictures(markup)
    assert list(seen) == ["an image", "a label map, with background, disc", "heat"]
    assert [re.findall("<span>([^<]*)</span>", markup), "said" in markup] == [["one", "two", "three"], True]
    cells = seen["heat"]
    assert cells.shape == (LONGEST_SIDE // 2, LONGEST_SIDE, 3)
    assert not cells[:, : LONGEST_SIDE // 2].any()
    assert (cells[:, LONGEST_SIDE // 2 :] == 255).all()
