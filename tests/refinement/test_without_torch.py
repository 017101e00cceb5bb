"""The CRF stands alone: in an environment without torch it is imported, used on arrays, and from the command line."""

import subprocess
import sys

import numpy as np
from PIL import Image

BLOCKED = """
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("torch", "accelerate", "matplotlib", "scipy"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, Blocker())
"""

USED = """
import numpy as np
import pixelwise as pw
scores = np.random.default_rng(0).normal(size=(3, 40, 50))
image = np.zeros((40, 50, 3), np.uint8)
image[:, 25:] = 200
crf = pw.DenseCRF([pw.Gaussian(3, weight=3), pw.Bilateral(20, 13, weight=10), pw.Features(np.ones((40, 50, 1)))])
refined = crf(image, scores)
assert refined.shape == scores.shape
assert abs(np.exp(refined).sum(0) - 1).max() < 1e-4
assert len(crf.trace(image, scores).beliefs) == 11
assert pw.DenseCRF.preset("pydensecrf")(image, labels=(image[..., 0] > 0).astype(int), classes=2).argmax(0)[5, 40] == 1
assert "torch" not in sys.modules
"""


def test_arrays_are_refined():
    done = subprocess.run([sys.executable, "-c", BLOCKED + USED], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_files_are_refined(tmp_path):
    Image.new("RGB", (50, 40)).save(tmp_path / "photo.png")
    np.save(tmp_path / "scores.npy", np.random.default_rng(0).normal(size=(3, 40, 50)))
    words = ["refine", tmp_path / "photo.png", tmp_path / "scores.npy", "--out", tmp_path / "out"]
    code = f"{BLOCKED}\nsys.argv = ['pixelwise', *{[str(word) for word in words]!r}]\nfrom pixelwise.cli.main import run\nrun()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "photo_scores.npy").is_file()
