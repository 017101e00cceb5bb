"""The strip of a mean field: which iterations it shows, and what it refuses."""

import numpy as np
import pytest
from PIL import Image

from pixelwise.report.trace import draw_trace

IMAGE = np.zeros((20, 30, 3), np.uint8)
MAPS = [np.full((20, 30), value) for value in (0.1, 0.5, 0.9, 1.0)]


def test_a_picture_wider_than_high_is_drawn(tmp_path):
    draw_trace(IMAGE, MAPS, MAPS, tmp_path / "strip.png", name="cat")
    with Image.open(tmp_path / "strip.png") as picture:
        assert picture.width > 2 * picture.height
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10
    assert [path.name for path in tmp_path.iterdir()] == ["strip.png"]


def test_more_iterations_make_a_wider_strip_up_to_a_limit(tmp_path):
    widths = []
    for count in (2, 4, 11, 30):
        draw_trace(IMAGE, MAPS[:1] * count, MAPS[:1] * count, tmp_path / "strip.png", name="cat")
        with Image.open(tmp_path / "strip.png") as picture:
            widths.append(picture.width)
    assert widths[0] < widths[1] < widths[2] == widths[3]


@pytest.mark.parametrize(
    ("scores", "beliefs", "iterations", "said"),
    [
        ([], [], None, "got 0 and 0"),
        (MAPS, MAPS[:3], None, "got 4 and 3"),
        (MAPS, MAPS, [0, 4], "iteration 4 was not recorded; there are 0 to 3"),
    ],
)
def test_maps_that_do_not_fit(scores, beliefs, iterations, said, tmp_path, refuses):
    with refuses(said):
        draw_trace(IMAGE, scores, beliefs, tmp_path / "strip.png", name="cat", iterations=iterations)
    assert not list(tmp_path.iterdir())
