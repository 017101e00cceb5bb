"""Published means against their published rows: our mean of IoUs is the one that the field prints."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from pixelwise.data.voc import VOC_CLASSES
from pixelwise.evaluation.confusion import Measures

# Per cent on VOC2012 test as each source prints them: IoU a class, and the mean over all 21. Two of them leave the
# background out of the row, though not out of the mean.
ROWS = list(csv.DictReader((Path(__file__).parent / "voc2012_test.csv").read_text().splitlines()))
WHOLE = [row for row in ROWS if row["background"]]
PARTLY = [row for row in ROWS if not row["background"]]
FOREGROUND = VOC_CLASSES[1:]
ROUNDING = 0.05 + 1e-9


def measures(row: dict[str, str], background: str | None = None) -> Measures:
    """A thousand pixels a class, as many of them met as the row says; a row without background has it left out."""
    printed = {**row, "background": background or row["background"]}
    hits = np.array([round(10 * float(printed[name] or 0)) for name in VOC_CLASSES])
    chosen = [place for place, name in enumerate(VOC_CLASSES) if printed[name]]
    return Measures.of_tally(np.stack([hits, np.full(21, 1000), hits]), chosen)


def foreground(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in FOREGROUND)


def test_the_tables_are_whole():
    assert (len(WHOLE), len(PARTLY)) == (11, 35)
    assert len({(row["source"], row["method"]) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", WHOLE, ids=lambda row: row["method"])
def test_a_whole_row_gives_its_printed_mean(row):
    assert 100 * measures(row).mean_iou == pytest.approx(float(row["mean"]), abs=ROUNDING)


@pytest.mark.parametrize("row", PARTLY, ids=lambda row: row["method"])
def test_a_row_without_background_leaves_a_plausible_one_for_its_printed_mean(row):
    found = measures(row)
    assert found.chosen.sum() == 20
    assert 90 < 21 * float(row["mean"]) - 20 * 100 * found.mean_iou < 97


def test_systems_in_two_tables_give_the_other_table_s_mean_with_the_background_of_the_first():
    pairs = [(first, row) for row in PARTLY for first in WHOLE if foreground(first) == foreground(row)]
    assert [row["method"] for _, row in pairs] == [
        "FCN-8S", "DECONVNET+CRF_VOC", "DL-MSC-LARGEFOV-CRF", "EDECONVNET+CRF_VOC",
        "POSTECH_EDeconvNet_CRF_VOC 22-Apr-2015",
    ]  # fmt: skip
    for first, row in pairs:
        assert 100 * measures(row, first["background"]).mean_iou == pytest.approx(float(row["mean"]), abs=ROUNDING)


def test_the_foreground_alone_is_another_number():
    row = WHOLE[0]
    without = measures({**row, "background": ""})
    assert 100 * without.mean_iou == pytest.approx(np.mean([float(value) for value in foreground(row)]))
    assert 100 * without.mean_iou < float(row["mean"]) - 1
