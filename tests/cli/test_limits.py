"""What the system refuses, and pictures that are too large: one line, exit code 2; defects of ours keep their traceback."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.cli.conftest import FAST, tree

from pixelwise.cli import catalogue
from pixelwise.data.sample import read_image
from pixelwise.data.shapes import Shapes
from pixelwise.inference.predictors import WholeImage


@pytest.mark.parametrize("verb", ["predict", "train"])
def test_a_folder_that_must_not_be_written_to(verb, pixelwise, model, data, tmp_path, monkeypatch):
    locked = tmp_path / "locked"
    locked.mkdir()
    refused = lambda path, mode: not (mode & os.W_OK and Path(path) == locked)  # root may write anywhere  # noqa: E731
    monkeypatch.setattr(os, "access", refused)
    words = {"predict": (model, data / "images", "--out", locked / "masks"), "train": (data, *FAST, "--out", locked)}
    complaint = pixelwise(verb, *words[verb]).complaint
    assert f"{locked}: must not be written to; choose another --out" in complaint
    assert tree(locked) == {}


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "/a/b: Permission denied"),
        (FileExistsError(errno.EEXIST, "File exists", "/a/b"), "/a/b: File exists"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/a/b"), "/a/b: Not a directory"),
        (OSError(errno.ENOSPC, "No space left on device"), "output: No space left on device"),
        (MemoryError(), "out of memory: give smaller pictures"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory: give smaller pictures"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_the_system_refuses_is_one_line(error, line, pixelwise, monkeypatch):
    _fail_in(monkeypatch, error)
    assert pixelwise("recipes").complaint.startswith(line)


@pytest.mark.parametrize("error", [KeyError("names"), ValueError("shape"), OSError("libcudart.so: cannot open")])
def test_defects_of_ours_keep_their_traceback(error, monkeypatch, pixelwise):
    _fail_in(monkeypatch, error)
    with pytest.raises(type(error)):
        pixelwise("recipes")


def _fail_in(monkeypatch, error: Exception) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("pixelwise.training.recipe.list_recipes", fail)
    assert catalogue.recipes  # the verb that asks for them


def test_a_full_disk_is_one_line_also_for_what_is_printed():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "pixelwise", "recipes"], stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, b"pixelwise: output: No space left on device\n")


def test_a_reader_that_goes_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "pixelwise", "recipes"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


# Pictures too large.


def test_a_picture_that_unpacks_to_gigabytes_is_refused(pixelwise, model, tmp_path, monkeypatch):
    picture = tmp_path / "a.png"
    Image.fromarray(Shapes(count=1)[0].image).save(picture)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    answer = pixelwise("predict", model, picture, "--out", tmp_path / "masks")
    assert answer.code == 2
    assert f"pixelwise: {picture}: not a readable picture" in answer.err


def test_a_large_photograph_gives_no_warning(pixelwise, model, tmp_path, monkeypatch):
    picture = tmp_path / "a.png"
    Image.fromarray(Shapes(count=1)[0].image).save(picture)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15000)  # 120 x 160 pixels: between the limit and twice the limit
    with pytest.warns(Image.DecompressionBombWarning):
        read_image(picture)
    assert pixelwise("predict", model, picture, "--out", tmp_path / "masks").code == 0


def test_a_picture_too_large_for_the_memory_is_passed_over(pixelwise, model, data, tmp_path, monkeypatch):
    predict = WholeImage.__call__

    def full_once(self, image):
        if image[0, 0, 0] == first:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return predict(self, image)

    first = read_image(data / "images" / "shapes_00000.png")[0, 0, 0]
    monkeypatch.setattr(WholeImage, "__call__", full_once)
    answer = pixelwise("predict", model, data / "images", "--out", tmp_path / "masks", "--json")
    assert answer.code == 2
    assert "shapes_00000.png: too large for the memory" in answer.err
    assert len(json.loads(answer.out)["done"]) >= 5
