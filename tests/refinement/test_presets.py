"""Presets: every one has a source and makes a CRF; files are read as they were written, and wrong ones refused."""

import math

import pytest
import yaml

import pixelwise as pw
from pixelwise.refinement.energies import Bilateral, Gaussian
from pixelwise.refinement.presets import PRESETS, Preset, read_preset

GOOD = {
    "bilateral_weight": 4, "bilateral_position_std": 49, "bilateral_colour_std": 5, "gaussian_weight": 3,
    "gaussian_std": 3, "normalisation": "after",
}  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_a_published_preset_says_its_source_and_makes_a_crf(name):
    preset = PRESETS[name]
    assert len(preset.source) > 20
    crf = pw.DenseCRF.preset(name)
    assert (crf.kernels, crf.iterations, crf.normalisation) == (
        (
            Gaussian(preset.gaussian_std, preset.gaussian_weight),
            Bilateral(preset.bilateral_position_std, preset.bilateral_colour_std, preset.bilateral_weight),
        ),
        preset.iterations,
        preset.normalisation,
    )


def test_each_program_divides_in_its_own_way():
    """Raw lattice output in DeconvNet's program, division after filtering in DeepLab's, symmetric by pydensecrf's default."""
    ways = {name: preset.normalisation for name, preset in PRESETS.items()}
    assert {ways["deconvnet"], ways["pydensecrf"]} == {"none", "symmetric"}
    assert {way for name, way in ways.items() if name.startswith("deeplab_v1")} == {"after"}


@pytest.mark.parametrize("name", PRESETS)
def test_a_file_holds_what_was_saved(name, tmp_path):
    PRESETS[name].save(tmp_path / "mine.yaml")
    assert read_preset(tmp_path / "mine.yaml") == PRESETS[name]
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text())["source"] == PRESETS[name].source


def test_a_preset_by_path_or_as_it_is(tmp_path):
    preset = Preset(**GOOD)
    preset.save(tmp_path / "folder" / "mine.yml")
    by_path = pw.DenseCRF.preset(tmp_path / "folder" / "mine.yml")
    assert by_path.kernels == pw.DenseCRF.preset(preset).kernels == preset.kernels
    assert by_path.iterations == 10


def test_a_near_name_is_offered(refuses):
    with refuses("unknown CRF preset 'deeplab_v3': did you mean 'deeplab_v1'?"):
        pw.DenseCRF.preset("deeplab_v3")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bilateral_wieght": 3}, "unknown preset key 'bilateral_wieght': did you mean 'bilateral_weight'?"),
        ({"gaussian_std": None}, "gaussian_std: expected a number above 0, got None"),
        ({"gaussian_std": 0}, "gaussian_std: expected a number above 0, got 0"),
        ({"bilateral_colour_std": -3}, "bilateral_colour_std: expected a number above 0, got -3"),
        ({"bilateral_weight": -1.5}, "bilateral_weight: expected a number from 0, got -1.5"),
        ({"bilateral_weight": math.inf}, "bilateral_weight: expected a number from 0, got inf"),
        ({"bilateral_weight": True}, "bilateral_weight: expected a number from 0, got True"),
        ({"bilateral_weight": "much"}, "bilateral_weight: expected a number from 0, got 'much'"),
        ({"iterations": 0}, "iterations: expected a whole number from 1, got 0"),
        ({"iterations": 2.5}, "iterations: expected a whole number from 1, got 2.5"),
        ({"normalisation": "afterwards"}, "normalisation is one of none, before, after, symmetric, mean"),
        ({"normalisation": None}, "normalisation: expected a name, got None"),
    ],
)
def test_wrong_values_are_named(change, said, tmp_path, refuses):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**GOOD, **change}))
    with refuses(f"{tmp_path / 'mine.yaml'}: ", said):
        read_preset(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gaussian_std: 3\n", "lacks the key 'bilateral_weight'; a preset needs bilateral_weight"),
        ("a: [", "not readable as YAML"),
        ("hello", "expected 'key: value' lines, got str"),
        ("", "expected 'key: value' lines, got NoneType"),
    ],
)
def test_files_that_are_none(text, said, tmp_path, refuses):
    (tmp_path / "mine.yaml").write_text(text)
    with refuses("mine.yaml: ", said):
        read_preset(tmp_path / "mine.yaml")


def test_a_file_that_is_not_there(tmp_path, refuses):
    with refuses("mine.yaml: no such file; give a preset's file, or one of: deconvnet"):
        read_preset(tmp_path / "mine.yaml")
