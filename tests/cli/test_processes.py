"""`pixelwise evaluate` in two processes says and writes what it does in one."""

from __future__ import annotations

import json

import pytest
import torch
from tests.cli.conftest import tree
from tests.processes import in_two

from pixelwise.data.shapes import Shapes

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def one_thread():
    """As each of the two has: a network's last digits may depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def seven(tmp_path):
    """Seven images: four for the one process and three for the other."""
    Shapes(count=7, size=(48, 64)).write(tmp_path / "data")
    return tmp_path / "data"


def test_two_processes_measure_what_one_does_to_the_last_digit(pixelwise, model, seven, tmp_path):
    words = ["evaluate", str(model), str(seven), "--split", "all", "--json"]

    def writing(folder):
        return [word for name in ("report", "predictions") for word in (f"--{name}", str(tmp_path / folder / name))]

    two = in_two("-m", "pixelwise", *words, *writing("two"), "--keep", str(tmp_path / "kept"))
    one = pixelwise(*words, *writing("one"))
    assert two.stdout == one.out  # once, with the intervals, which depend on the order of the images
    assert json.loads(two.stdout)["images"] == 7
    assert "calibration" in json.loads(two.stdout)
    assert two.stderr.count("evaluating 4/4") == 1
    assert "3/3" not in two.stderr
    assert tree(tmp_path / "two") == tree(tmp_path / "one")
    lines = {path.name: len(path.read_text().splitlines()) - 1 for path in (tmp_path / "kept").iterdir()}
    assert lines == {"counts-0-of-2.jsonl": 4, "counts-1-of-2.jsonl": 3}


def test_a_broken_picture_of_the_second_process_is_told_and_costs_nothing_else(pixelwise, model, seven, tmp_path):
    picture = seven / "images" / "shapes_00003.png"
    good = picture.read_bytes()
    picture.write_bytes(good[:200])
    words = ["evaluate", str(model), str(seven), "--split", "all", "--json"]
    kept = ["--keep", str(tmp_path / "kept")]
    two = in_two("-m", "pixelwise", *words, *kept, succeeds=False)
    assert "shapes_00003.png: not a readable picture" in two.stderr
    assert two.stdout == ""
    picture.write_bytes(good)
    assert pixelwise(*words, *kept).out == pixelwise(*words).out
