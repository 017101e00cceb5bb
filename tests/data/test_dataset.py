"""Data sets of files: order, subsets, classes, and the stable split."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Refuses
from tests.data.pictures import save_image, save_mask

from pixelwise.data.dataset import Entry, FileDataSet, hashed_part, hold_out, stable_fraction
from pixelwise.labels import LabelSpec


@pytest.fixture
def data(tmp_path: Path) -> FileDataSet:
    entries = []
    for seed, name in enumerate("abc"):
        image = save_image(tmp_path / f"{name}.jpg", seed=seed)
        entries.append(Entry(name, image, save_mask(tmp_path / f"{name}.png", [0, 1, 2, 255])))
    return FileDataSet(tuple(entries), LabelSpec(("sky", "road", "car")))


def test_samples_come_in_order(data: FileDataSet) -> None:
    assert len(data) == 3
    assert data.names == ("a", "b", "c")
    assert [sample.name for sample in data] == ["a", "b", "c"]
    assert data[2].name == "c"


def test_a_subset_has_the_order_asked_for(data: FileDataSet, refuses: Refuses) -> None:
    assert data.subset(["c", "a"]).names == ("c", "a")
    with refuses("no sample 'x'"):
        data.subset(["a", "x"])


def test_classes_can_be_picked(data: FileDataSet) -> None:
    assert data.with_classes(["car", "sky"])[0].labels["main"][0, :4].tolist() == [1, 255, 0, 255]


def test_an_image_without_labels(data: FileDataSet, tmp_path: Path) -> None:
    sample = FileDataSet((Entry("a", tmp_path / "a.jpg"),), data.label_spec)[0]
    assert sample.labels == {}
    assert sample.instances is None


def test_nothing_is_no_data_set(refuses: Refuses) -> None:
    with refuses("the data set is empty"):
        FileDataSet((), LabelSpec(("a",)))


def test_the_fraction_of_a_name_is_the_same_everywhere() -> None:
    assert stable_fraction("2007_000032", "val") == pytest.approx(0.33752467670756003)  # the first 8 of `sha256sum`


def test_fractions_spread_evenly() -> None:
    fractions = sorted(stable_fraction(f"image_{number}", "val") for number in range(1000))
    assert all(abs(fraction - (i + 0.5) / 1000) < 0.05 for i, fraction in enumerate(fractions))


def test_more_samples_move_none_across() -> None:
    spec = LabelSpec(("a",))
    few, many = (FileDataSet(tuple(Entry(f"{i}", Path(f"{i}")) for i in range(count)), spec) for count in (50, 200))
    rest, held = hold_out(few, 0.2)
    more_rest, more_held = hold_out(many, 0.2)
    assert sorted([*rest.names, *held.names]) == sorted(few.names)
    assert set(held.names) <= set(more_held.names)
    assert set(rest.names) <= set(more_rest.names)


def test_what_one_split_leaves_over_can_be_split_again() -> None:
    names = [f"{i}" for i in range(300)]
    left = [name for name in names if name not in hashed_part(names, 0.1, "val")]
    assert hashed_part(left, 0.1, "val") == (min(left, key=lambda name: stable_fraction(name, "val")),)
    assert 15 < len(hashed_part(left, 0.1, "selection")) < 45


def test_of_few_samples_one_is_held_out(data: FileDataSet) -> None:
    rest, held = hold_out(data, 1e-9)
    assert (len(rest), len(held)) == (len(data) - 1, 1)


def test_nothing_can_be_held_out_of_one(data: FileDataSet, refuses: Refuses) -> None:
    with refuses("cannot hold 10% of 1 images out", "add images", "hold_out=0"):
        hold_out(data.subset(data.names[:1]), 0.1)
