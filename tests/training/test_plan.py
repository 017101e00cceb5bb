"""What a training will learn from and select by, and all that can be wrong with it before it starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import Refuses
from tests.training.trainings import SHAPES, fingerprint, narrow, planned, small

from pixelwise.data.dataset import DataSet, hold_out
from pixelwise.data.shapes import Shapes
from pixelwise.errors import InputError
from pixelwise.training.plan import choose_samples, plan
from pixelwise.training.weighing import median_frequency
from pixelwise.weights.checkpoint import Checkpoint, save_checkpoint


class Split:
    """A data set of which only some splits may be asked for."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.asked: list[str | None] = []

    def __call__(self, name: str | None) -> DataSet:
        self.asked.append(name)
        if name is not None and name not in self.names:
            raise InputError(f"no split '{name}'")
        parts = {"train": (0, 12), "val": (12, 18), "test": (18, 24), None: (0, 24)}
        return SHAPES.subset(SHAPES.names[slice(*parts[name])])


BOTH = ("train", "val", "test")
REST, HELD = (part.names for part in hold_out(Split("train")("train"), 0.3))


@pytest.mark.parametrize(
    ("settings", "splits", "training", "selection"),
    [
        ({}, BOTH, SHAPES.names[:12], SHAPES.names[12:18]),
        ({"select": "val"}, BOTH, SHAPES.names[:12], SHAPES.names[12:18]),
        ({"select": "train"}, BOTH, REST, HELD),
        ({}, ("train", "test"), REST, HELD),
        ({"hold_out": 0}, ("train",), SHAPES.names[:12], None),
        ({"hold_out": 0}, BOTH, SHAPES.names[:12], SHAPES.names[12:18]),
        ({"split": "train"}, BOTH, SHAPES.names[:12], SHAPES.names[12:18]),
        ({"split": "val", "hold_out": 0}, BOTH, SHAPES.names[12:18], None),
        ({"split": "test", "select": "val"}, BOTH, SHAPES.names[18:], SHAPES.names[12:18]),
        ({"hold_out": 0}, (), SHAPES.names, None),
        ({"final": True}, BOTH, SHAPES.names[:18], None),
        ({"final": True, "hold_out": 0.5}, ("train", "val"), SHAPES.names[:18], None),
    ],
)
def test_what_is_learned_from_and_selected_by(settings, splits, training, selection) -> None:
    opened = Split(*splits)
    chosen, held = choose_samples(small(**{"hold_out": 0.3} | settings), opened, splits)
    assert chosen.names == training
    assert (None if held is None else held.names) == selection
    assert selection is None or set(training).isdisjoint(selection)
    assert "test" not in opened.asked or settings.get("split") == "test"


def test_a_data_set_without_splits_is_parted_by_the_hash() -> None:
    chosen, held = choose_samples(small(hold_out=0.3), lambda _: SHAPES, ())
    assert held is not None
    assert (chosen.names, held.names) == tuple(part.names for part in hold_out(SHAPES, 0.3))


@pytest.mark.parametrize(
    ("settings", "splits", "parts"),
    [
        ({"final": True}, ("train",), ("no split 'val'", "leave it out")),
        ({"final": True}, ("val",), ("no split 'train'",)),
        ({"final": True}, (), ("no split 'train'",)),
        ({"select": "val"}, ("train",), ("no split 'val'",)),
        ({}, ("val", "test"), ("no split 'train' among val, test", "split=NAME")),
        ({"split": "trian"}, BOTH, ("no split 'trian'",)),
        ({"hold_out": 0.5, "split": None}, (), ("cannot hold",)),
    ],
)
def test_splits_that_are_not_there(settings, splits, parts, refuses: Refuses) -> None:
    one = lambda name: Split(*splits)(name) if splits else SHAPES.subset(SHAPES.names[:1])  # noqa: E731
    with refuses(*parts):
        choose_samples(small(**settings), one, splits)


def test_what_cannot_be_trained_is_said_before_anything_is_written(refuses: Refuses) -> None:
    with refuses("unknown network"):
        planned(small(network="fcn9s"))
    with refuses("unknown class 'disk'", "did you mean 'disc'?"):
        planned(small(classes=("background", "disk")))
    with refuses("init=none"):
        planned(small(init="imagenet", network="fcn8s_vgg16", options={"width": 1 / 16}))
    with refuses("cannot hold"):
        planned(small(hold_out=0.5), SHAPES.subset(SHAPES.names[:1]))
    with refuses("schedule=plateau", "nothing is selected by"):
        planned(small(schedule="plateau"))


def test_classes_and_colours_are_those_of_the_recipe() -> None:
    chosen = planned(narrow(classes=("line", "disc"), colours=("#ff0000", "#00ff00"), hold_out=0.3))
    assert chosen.label_spec.names == chosen.training.label_spec.names == ("line", "disc")
    assert chosen.selection is not None
    assert chosen.selection.label_spec.names == ("line", "disc")
    assert chosen.label_spec.colours == ((255, 0, 0), (0, 255, 0))
    assert chosen.network.heads == {"main": 2}


def test_class_weights_come_from_what_is_learned_from_alone() -> None:
    data = Shapes(6, size=(48, 64), seed=1)
    assert planned(narrow(), data).objective.loss.class_weights is None
    chosen = planned(narrow(class_weights="median_frequency", hold_out=0.4), data)
    counts = [np.bincount(sample.labels["main"].ravel(), minlength=6) for sample in chosen.training]
    shares = []
    for index, name in enumerate(data.label_spec.names):
        there = [count for count in counts if count[index]]
        part = sum(c[index] for c in there) / sum(c.sum() for c in there) if there else 0.0
        shares.append(_share(name, len(there), part))
    assert chosen.objective.loss.class_weights is not None
    assert chosen.objective.loss.class_weights.tolist() == pytest.approx(median_frequency(shares), rel=1e-5)
    assert planned(narrow(class_weights="effective_number"), data).objective.loss.class_weights is not None


def _share(name: str, images: int, where_present: float):
    from pixelwise.data.check import ClassShare

    return ClassShare(name, 0.0, images, where_present)


def test_the_seed_decides_the_first_weights() -> None:
    first, again, other = (fingerprint(planned(narrow(seed=seed)).network.state_dict()) for seed in (0, 0, 1))
    assert first == again != other


def test_a_run_may_start_from_a_model(tmp_path: Path) -> None:
    theirs = planned(narrow(seed=3))
    save_checkpoint(tmp_path, Checkpoint(theirs.network, theirs.config, theirs.label_spec))
    ours = plan(narrow(), lambda _: SHAPES, (), init_from=tmp_path)
    assert fingerprint(ours.network.state_dict()) == fingerprint(theirs.network.state_dict())
    assert str(tmp_path) in ours.origin
    assert "new: none" in ours.origin
    assert ours.objective.count(_batch()).item() == 5


def _batch():
    from pixelwise.data.batches import Batch

    return Batch(torch.zeros(1, 3, 1, 6), {"main": torch.tensor([[[0, 1, 2, 255, 3, 4]]])}, ("a",))


def test_a_head_without_label_maps_is_refused(refuses: Refuses) -> None:
    options = {"width": 0.05, "heads": {"geometric": ["sky", "ground"]}}
    with refuses("the head 'geometric' is to learn sky, ground", "no such label map", "change the option heads"):
        planned(narrow(options=options))


def test_a_plan_is_a_value() -> None:
    chosen = planned(narrow())
    assert replace(chosen, recipe=narrow(steps=9)).recipe.steps == 9
    assert chosen.recipe.steps == 4
