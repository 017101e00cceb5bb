"""Files of scores: every kind that people have, told apart, with names where they are known; wrong ones refused."""

import numpy as np
import pytest
from PIL import Image

from pixelwise.data.scores import read_scores

SCORES = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
PROBABILITIES = np.exp(SCORES) / np.exp(SCORES).sum(0)
NAMES = ("background", "cat", "red panda")


def test_an_npy_is_a_memory_map_of_scores_or_of_probabilities(tmp_path):
    for name, array, probabilities in (("s", SCORES, False), ("p", PROBABILITIES, True)):
        np.save(tmp_path / f"{name}.npy", array)
        stored = read_scores(tmp_path / f"{name}.npy")
        assert isinstance(stored.values, np.memmap)
        assert (stored.probabilities, stored.names) == (probabilities, None)
        expected = np.log(array) if probabilities else array
        np.testing.assert_allclose(stored.scores(stored.values), expected, rtol=1e-6)


def test_an_npz_says_what_it_is(tmp_path):
    np.savez(tmp_path / "a.npz", classes=np.array(NAMES), probabilities=PROBABILITIES.astype(np.float16))
    stored = read_scores(tmp_path / "a.npz")
    assert (stored.probabilities, stored.names) == (True, NAMES)
    np.savez(tmp_path / "b.npz", scores=PROBABILITIES)  # whatever they look like: the name decides
    assert not read_scores(tmp_path / "b.npz").probabilities
    np.savez(tmp_path / "c.npz", SCORES)
    np.testing.assert_array_equal(read_scores(tmp_path / "c.npz").values, SCORES)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_folder_of_pictures_is_probabilities_by_their_names(dtype, tmp_path):
    most = np.iinfo(dtype).max
    for number, (name, map_) in enumerate(zip(NAMES, PROBABILITIES, strict=True)):
        Image.fromarray((map_ * most).round().astype(dtype)).save(tmp_path / f"{number:02}_{name}.png")
    stored = read_scores(tmp_path)
    assert (stored.probabilities, stored.names) == (True, NAMES)
    np.testing.assert_allclose(np.exp(stored.scores(stored.values)), PROBABILITIES, atol=0.51 / most)


def test_what_was_rounded_to_0_is_not_impossible(tmp_path):
    """Half of what the kind of file can just tell from 0 stands for it."""
    certain = np.zeros((2, 1, 1))
    certain[1] = 1
    for number, map_ in enumerate(certain):
        Image.fromarray((map_ * 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
    pictures = read_scores(tmp_path)
    assert pictures.names == ("0", "1")
    assert np.exp(pictures.scores(pictures.values)).ravel() == pytest.approx([0.5 / 255, 1])
    np.savez(tmp_path / "half.npz", probabilities=certain.astype(np.float16))
    np.savez(tmp_path / "full.npz", probabilities=certain)
    half, full = (read_scores(tmp_path / f"{name}.npz") for name in ("half", "full"))
    assert np.exp(half.scores(half.values))[0, 0, 0] == pytest.approx(3e-8)
    assert np.exp(full.scores(full.values))[0, 0, 0] == pytest.approx(1e-20)


def _flat(path):
    np.save(path / "a.npy", SCORES[0])
    return path / "a.npy"


def _empty(path):
    np.save(path / "a.npy", SCORES[:0])
    return path / "a.npy"


def _words(path):
    np.save(path / "a.npy", np.full((2, 2, 2), "a"))
    return path / "a.npy"


def _objects(path):
    np.save(path / "a.npy", np.array([[[{}]]]), allow_pickle=True)
    return path / "a.npy"


def _cut(path):
    np.savez(path / "a.npz", SCORES)
    (path / "a.npz").write_bytes((path / "a.npz").read_bytes()[:100])
    return path / "a.npz"


def _text(path):
    (path / "a.npy").write_text("hello")
    return path / "a.npy"


def _more_names(path):
    np.savez(path / "a.npz", scores=SCORES, classes=np.array(["a", "b"]))
    return path / "a.npz"


def _nothing_inside(path):
    np.savez(path / "a.npz")
    return path / "a.npz"


def _other_kind(path):
    (path / "a.mat").write_text("hello")
    return path / "a.mat"


def _two_sizes(path):
    Image.new("L", (5, 4)).save(path / "a.png")
    Image.new("L", (4, 5)).save(path / "b.png")
    return path


def _colours(path):
    Image.new("RGB", (5, 4)).save(path / "a.png")
    return path


def _no_picture(path):
    (path / "a.png").write_text("hello")
    return path


WRONG = {
    _flat: ("expected an array (K, H, W) of numbers, got (4, 5) float32",),
    _empty: ("expected an array (K, H, W) of numbers, got (0, 4, 5)",),
    _words: ("expected an array (K, H, W) of numbers, got (2, 2, 2) <U1",),
    _objects: ("a.npy: not readable as an array",),
    _cut: ("a.npz: not readable as an array",),
    _text: ("a.npy: not readable as an array",),
    _more_names: ("holds 3 maps, but 2 names of classes",),
    _nothing_inside: ("expected an array (K, H, W) of numbers, got (0,)",),
    _other_kind: ("a.mat: expected scores in a file ending in .npz or .npy, or a folder of pictures",),
    _two_sizes: ("b.png: (5, 4) uint8, but a.png is (4, 5) uint8",),
    _colours: ("a.png: expected a grey picture of 8 or 16 bits, got mode RGB",),
    _no_picture: ("a.png: not a readable picture",),
    lambda path: path / "nowhere.npy": ("nowhere.npy: no such file or folder",),
    lambda path: path: ("no pictures in it; expected a grey picture a class",),
}


@pytest.mark.parametrize("make", WRONG)
def test_files_that_are_none(make, tmp_path, refuses):
    with refuses(*WRONG[make]):
        read_scores(make(tmp_path))
