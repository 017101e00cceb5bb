"""Windows as what a training learns from: the batches show what is expected by hand, and a run goes on bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import Refuses
from tests.data.test_windows import SPEC, Three
from tests.training.trainings import SHAPES, CutOffError, cut_at, fingerprint, narrow, planned, trained, weights

from pixelwise.data.shapes import Shapes
from pixelwise.labels import IGNORE, MAIN, LabelSpec
from pixelwise.proposals.boxes import Proposals
from pixelwise.training import windows
from pixelwise.training.plan import Plan
from pixelwise.training.recipe import read_recipe
from pixelwise.training.run import build_batches
from pixelwise.training.windows import with_windows

PLAIN = {"flip": 0, "brightness": 0, "scale": (1, 1), "window_side": 12, "crop": 12}


def windowed(cache: Path, data: Any = SHAPES, **changes: object) -> Plan:
    recipe = narrow(**{"windows": "objects", "scale": (1, 1), **changes})
    return with_windows(planned(recipe, data), cache / "windows.npz")


def first_batch(at: Plan) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Image `(H, W, 3)` and labels `(H, W)` by name."""
    batch = build_batches(at, 0, 1)[0]
    images = batch.images.permute(0, 2, 3, 1).numpy()
    return {name: (images[i], batch.labels[MAIN][i].numpy()) for i, name in enumerate(batch.names)}


def test_batches_of_the_first_stage_show_each_object_alone(tmp_path: Path) -> None:
    shown = first_batch(windowed(tmp_path, Three(), batch_size=3, **PLAIN))
    assert set(shown) == {"three@3,5,15,17", "three@-1,16,11,28", "three@18,29,30,41"}
    cat = np.zeros((12, 12), int)
    cat[1:11, 1:11] = 1
    cat[11, 1:11] = IGNORE  # the line below the cat that nobody could label
    np.testing.assert_array_equal(shown["three@3,5,15,17"][1], cat)
    dog = np.zeros((12, 12), int)
    dog[0] = IGNORE  # above the image
    dog[1:11, 4:9] = 2  # and no cat, which lies in columns of 6 to 15
    image, labels = shown["three@-1,16,11,28"]
    np.testing.assert_array_equal(labels, dog)
    np.testing.assert_allclose(image[0], np.broadcast_to(np.round(planned(narrow()).network.fill), (12, 3)), atol=1)
    np.testing.assert_array_equal(
        image[1:, :, 1], np.broadcast_to(np.arange(16, 28), (11, 12))
    )  # the picture's columns


def proposing(boxes: list[tuple[int, int, int, int]]) -> type:
    """Something in the place of EdgeBoxes that proposes these."""

    class Proposer:
        def __init__(self) -> None:
            self.settings = {"boxes": boxes}

        def __call__(self, image: np.ndarray) -> Proposals:
            return Proposals(np.array(boxes).reshape(-1, 4), np.ones(len(boxes), np.float32))

    return Proposer


def test_batches_of_the_second_stage_show_all_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the first covers 100 of the cat's 100 pixels and 20 more; the second lies between the objects
    monkeypatch.setattr(windows, "EdgeBoxes", proposing([(4, 6, 14, 18), (15, 0, 25, 10)]))
    at = windowed(tmp_path, Three(), windows="proposals", batch_size=1, **PLAIN | {"window_side": 14, "crop": 14})
    ((name, (_, labels)),) = first_batch(at).items()
    assert name == "three@2,5,16,19"  # 1.2 times 12 about (9, 12)
    expected = np.zeros((14, 14), int)
    expected[2:12, 1:11] = 1
    expected[12, 1:11] = IGNORE
    np.testing.assert_array_equal(labels, expected)
    wide = windowed(tmp_path, Three(), windows="proposals", batch_size=1, **PLAIN | {"window_side": 14, "crop": 14})
    assert wide.source[0].name == at.source[0].name  # from the file this time


def test_the_seed_decides_which_windows_come_and_how(tmp_path: Path) -> None:
    recipe: dict[str, Any] = {"window_side": 60, "batch_size": 4}
    first, again, other = (build_batches(windowed(tmp_path, seed=seed, **recipe), 0, 1)[2] for seed in (0, 0, 1))
    assert first.names == again.names != other.names
    assert torch.equal(first.images, again.images)


def test_a_run_on_windows_goes_on_bit_for_bit(tmp_path: Path) -> None:
    recipe: dict[str, Any] = {"steps": 6, "window_side": 60, "schedule": "poly"}
    whole = trained(narrow(**recipe), tmp_path / "whole", at=windowed(tmp_path / "whole", **recipe))
    cut = tmp_path / "cut"
    with pytest.raises(CutOffError):
        trained(narrow(**recipe), cut, at=windowed(cut, **recipe), watch=cut_at(3))
    (cut / "windows.npz").write_bytes(b"broken")  # found again
    rest = trained(narrow(**recipe), cut, at=windowed(cut, **recipe), resume=True)
    assert [(told.step, told.loss) for told in rest] == [(told.step, told.loss) for told in whole[2:]]
    assert fingerprint(weights(cut)) == fingerprint(weights(tmp_path / "whole"))
    images = trained(narrow(**recipe), tmp_path / "images")
    assert images[-1].loss != whole[-1].loss  # windows are something else than images


def test_whole_images_are_left_alone(tmp_path: Path) -> None:
    at = planned(narrow())
    assert with_windows(at, tmp_path / "windows.npz") is at
    assert at.source is at.training
    assert not list(tmp_path.iterdir())


def test_what_has_no_windows_is_refused(tmp_path: Path, refuses: Refuses, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = Shapes(4).with_classes(("background",))
    with refuses("no object in the 4 images", "pixelwise check"):
        windowed(tmp_path, empty)
    monkeypatch.setattr(windows, "EdgeBoxes", proposing([(15, 0, 25, 10)]))
    with refuses("no object that a proposal overlaps in the 1 images"):
        windowed(tmp_path, Three(), windows="proposals")
    other = replace(Three(), label_spec=LabelSpec(("ground", *SPEC.names[1:])))
    with refuses("'background'", "classes.txt"):
        windowed(tmp_path, other)
    with refuses("edges=hed", "--hed FILE"):
        windowed(tmp_path, windows="proposals", edges="hed")
    with refuses("missing.safetensors"):
        with_windows(
            planned(narrow(windows="proposals", edges="hed", scale=(1, 1))),
            tmp_path / "w",
            hed=tmp_path / "missing.safetensors",
        )


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("windows=objects", "crop=320", "scale=[1, 1]"), ("crop=320", "window_side=250")),
        (("windows=objects", "crop=224", "scale=[0.5, 1]"), ("crop=224", "window_side=250")),
        (("edges=hed",), ("edges=hed", "windows: proposals")),
        (("windows=object",), ("windows", "'object'")),
    ],
)
def test_keys_that_do_not_go_together(words: tuple[str, ...], parts: tuple[str, ...], refuses: Refuses) -> None:
    with refuses(*parts):
        read_recipe(None, words)
