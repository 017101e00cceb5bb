"""Tiles: equal to the whole where the overlap reaches as far as the refiner, near it for a CRF, and in bounded memory."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pixelwise as pw
from pixelwise.data.shapes import Shapes
from pixelwise.refinement.tiles import Tiled

REACH = 3


def smeared(image, scores):
    """A refiner that looks 3 pixels far: sums over windows, and the image's first channel."""
    padded = np.pad(scores, ((0, 0), (REACH, REACH), (REACH, REACH)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * REACH + 1, 2 * REACH + 1), (1, 2))
    return windows.sum((-1, -2)) + image[..., 0]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 15), st.integers(REACH, 6))
def test_equals_the_whole_where_the_overlap_reaches_far_enough(height, width, tile, overlap):
    random = np.random.default_rng(0)
    image, scores = random.integers(0, 255, (height, width, 3)), random.integers(0, 99, (2, height, width))
    np.testing.assert_array_equal(Tiled(smeared, tile, overlap)(image, scores), smeared(image, scores))


def test_differs_from_the_whole_where_it_does_not():
    image, scores = np.zeros((30, 30, 1)), np.ones((1, 30, 30))
    assert not np.array_equal(Tiled(smeared, 10, REACH - 1)(image, scores), smeared(image, scores))


def test_no_part_is_larger_than_a_tile_with_its_margins():
    seen = []

    def watching(image, scores):
        seen.append(scores.shape[1:])
        return scores

    Tiled(watching, 100, 20)(np.zeros((1000, 310, 3)), np.zeros((1, 1000, 310)))
    assert len(seen) == 10 * 4
    assert max(map(max, seen)) == 140


def test_a_crf_in_tiles_is_near_the_whole():
    """The wider the overlap, the nearer; with twice the longest deviation 99.5 % of the labels are those of the whole."""
    sample = Shapes(count=1, size=(120, 150))[0]
    random = np.random.default_rng(0)
    scores = 0.3 * (sample.labels["main"] == np.arange(6)[:, None, None]) + random.normal(size=(6, 120, 150))
    kernels = [pw.Gaussian(3, weight=1), pw.Bilateral(15, 10, weight=2)]
    crf = pw.DenseCRF(kernels, normalisation="after", iterations=5)
    whole = crf(sample.image, scores)
    tiled = {overlap: Tiled(crf, 40, overlap)(sample.image, scores) for overlap in (0, 15, 30)}
    far = {overlap: np.abs(np.exp(refined) - np.exp(whole)).mean() for overlap, refined in tiled.items()}
    assert far[0] > 2 * far[15] > 2 * far[30]
    assert far[30] < 0.001
    assert (tiled[30].argmax(0) == whole.argmax(0)).mean() > 0.995


def test_written_where_asked():
    out = np.zeros((1, 30, 30))
    answer = Tiled(smeared, 10, REACH)(np.zeros((30, 30, 1)), np.ones((1, 30, 30)), out)
    assert answer is out
    assert out[0, 15, 15] == (2 * REACH + 1) ** 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0,), "tile: expected a side of at least 1 pixel, got 0"),
        ((5, -1), "overlap: expected at least 0 pixels, got -1"),
    ],
)
def test_tiles_that_are_none(arguments, said, refuses):
    with refuses(said):
        Tiled(smeared, *arguments)


def test_sizes_that_differ(refuses):
    with refuses("scores: expected (K, 30, 40) as the image, got (2, 30, 30)"):
        Tiled(smeared)(np.zeros((30, 40, 3)), np.zeros((2, 30, 30)))
    with refuses("out: expected the shape of the scores (2, 30, 40), got (2, 40, 30)"):
        Tiled(smeared)(np.zeros((30, 40, 3)), np.zeros((2, 30, 40)), np.zeros((2, 40, 30)))


BOUNDED = """
import re, resource, sys
import numpy as np
import pixelwise as pw
from pixelwise.refinement.tiles import Tiled

side, folder = 1200, sys.argv[1]
random = np.random.default_rng(0)
image = np.kron(random.integers(0, 256, (30, 30, 3)), np.ones((40, 40, 1))).astype(np.uint8)
scores = np.lib.format.open_memmap(folder + "/scores.npy", mode="w+", dtype=np.float32, shape=(2, side, side))
scores[0] = random.normal(size=(side, side))
out = np.lib.format.open_memmap(folder + "/out.npy", mode="w+", dtype=np.float32, shape=(2, side, side))
crf = pw.DenseCRF.preset("deeplab_v1")
tiled = Tiled(crf, 200, 40)
tiled(image[:300, :300], scores[:, :300, :300])  # compiled, and the allocator warm, before memory is counted
with open("/proc/self/status") as status:
    used = int(re.search(r"VmData:\\s+(\\d+) kB", status.read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + int(sys.argv[2]) * 2**20,) * 2)
try:
    tiled(image, scores, out)
    print("tiled: done")
    crf(image, scores)
    print("whole: done")
except MemoryError:
    print("out of memory")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is the one of Linux")
def test_memory_is_bounded_by_the_tile_and_not_by_the_image(tmp_path):
    """Under a limit that the whole image breaks, tiles of it from a memory map into another are refined."""
    (tmp_path / "bounded.py").write_text(BOUNDED)
    done = subprocess.run(
        [sys.executable, tmp_path / "bounded.py", tmp_path, "60"], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.splitlines() == ["tiled: done", "out of memory"], done.stderr
