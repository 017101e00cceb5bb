"""Forty pictures of one's own and two minutes are enough for a first model: the way a newcomer begins."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.training.recipe import read_recipe
from pixelwise.training.timing import fitted

pytestmark = pytest.mark.slow

SIZE = (240, 320)  # as a webcam's; the recipe cuts windows of 320, so much smaller ones would be mostly padding
NAMES = ("table", "coin", "card")
COLOURS = ((120, 115, 105), (190, 110, 60), (90, 110, 180))
STEPS = 135
"""About what two free cores do in two minutes: a fixed number, so that a busy machine is slow rather than wrong."""


def picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Coins and turned cards on a table: image `(H, W, 3)` with grain and uneven light, and labels `(H, W)`."""
    down, right = np.mgrid[: SIZE[0], : SIZE[1]]
    labels = np.zeros(SIZE, np.uint8)
    for number in range(int(rng.integers(2, 5))):
        y, x, radius, angle = rng.uniform(30, 210), rng.uniform(30, 290), rng.uniform(30, 60), rng.uniform(0, np.pi)
        along = (down - y) * np.sin(angle) + (right - x) * np.cos(angle)
        across = (down - y) * np.cos(angle) - (right - x) * np.sin(angle)
        coin = number % 2 == 0
        inside = along**2 + across**2 <= radius**2 if coin else (abs(along) <= radius) & (abs(across) <= 0.7 * radius)
        labels[inside] = 1 if coin else 2
    own = np.array(COLOURS) + rng.uniform(-25, 25, (3, 3))
    light = 1 + 0.15 * np.sin(down / rng.uniform(40, 90)) * np.cos(right / rng.uniform(40, 90))
    image = own[labels] * light[..., None] + rng.normal(0, 12, (*SIZE, 3))
    return image.clip(0, 255).astype(np.uint8), labels


def test_forty_pictures_make_a_model(tmp_path: Path) -> None:
    data, run, rng = tmp_path / "data", tmp_path / "run", np.random.default_rng(0)
    for folder in ("images", "masks"):
        (data / folder).mkdir(parents=True)
    for number in range(40):
        image, labels = picture(rng)
        Image.fromarray(image).save(data / "images" / f"photo_{number:02}.jpg", quality=90)
        Image.fromarray(labels).save(data / "masks" / f"photo_{number:02}.png")
    (data / "classes.txt").write_text("".join(f"{value} {name}\n" for value, name in enumerate(NAMES)))
    # What `--minutes 2` makes of the recipe where that many steps fit.
    asked, made = read_recipe("laptop"), fitted(read_recipe("laptop"), STEPS)
    changes = [f"{key}={value}" for key, value in made.model_dump().items() if value != getattr(asked, key)]
    assert {change.split("=")[0] for change in changes} == {"steps", "warmup", "validate_every", "save_every"}
    command = [sys.executable, "-m", "pixelwise", "train", str(data), *changes, "--out", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    record = json.loads((run / "model" / "config.json").read_text())["record"]
    print(f"{record['selection_images']} held out, step {record['step']}: mIoU {record['selection_score']:.4f}")
    print(f"in {record['minutes']} minutes")
    assert record["training_images"] + record["selection_images"] == 40
    assert record["selection_images"] >= 3
    assert record["selection_score"] > 0.9
