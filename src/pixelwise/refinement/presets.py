"""Parameters of the dense CRF by name or from a file: the published ones with their sources, and those that were tuned."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pixelwise.errors import InputError, unknown_name
from pixelwise.files import write_text
from pixelwise.refinement.energies import Bilateral, Gaussian, Kernel, check_normalisation
from pixelwise.refinement.mean_field import Normalisation

FIVE = ("gaussian_weight", "gaussian_std", "bilateral_weight", "bilateral_position_std", "bilateral_colour_std")
"""The parameters that the papers search."""


@dataclass(frozen=True)
class Preset:
    """What the papers' CRF is made of: a Gaussian and a bilateral kernel.

    bilateral_weight        how much pixels near in place and colour ask for the same class; in units of scores where
                            the filter is normalised
    bilateral_position_std  standard deviation of that nearness, in pixels
    bilateral_colour_std    the same in colour, in units of 0..255
    gaussian_weight         how much pixels near in place ask for the same class
    gaussian_std            standard deviation of that nearness, in pixels
    normalisation           what the filters are divided by: "none", "before", "after", "symmetric" or "mean"
    iterations              of the mean field
    source                  where the numbers come from

    Raises `InputError` for numbers that are not finite, a negative weight, a deviation not above 0, less than one
    iteration, and an unknown normalisation.
    """

    bilateral_weight: float
    bilateral_position_std: float
    bilateral_colour_std: float
    gaussian_weight: float
    gaussian_std: float
    normalisation: Normalisation
    iterations: int = 10  # the number of DeepLab (ICLR 2015), section 5.1, and of DeconvNet's release
    source: str = ""

    def __post_init__(self) -> None:
        for name in FIVE:
            value, is_weight = getattr(self, name), name.endswith("weight")
            real = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not real or value < 0 or (value == 0 and not is_weight):
                raise InputError(f"{name}: expected a number {'from' if is_weight else 'above'} 0, got {value!r}")
        if type(self.iterations) is not int or self.iterations < 1:
            raise InputError(f"iterations: expected a whole number from 1, got {self.iterations!r}")
        if not isinstance(self.normalisation, str):
            raise InputError(f"normalisation: expected a name, got {self.normalisation!r}")
        check_normalisation(self.normalisation)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """What a `DenseCRF` takes."""
        return (
            Gaussian(self.gaussian_std, self.gaussian_weight),
            Bilateral(self.bilateral_position_std, self.bilateral_colour_std, self.bilateral_weight),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as YAML, whole or not at all; `read_preset` reads it."""
        write_text(path, yaml.safe_dump(dataclasses.asdict(self), sort_keys=False, allow_unicode=True, width=120))


PRESETS: Mapping[str, Preset] = {
    "deconvnet": Preset(
        5, 20, 3, 3, 3, "none", 10, "DeconvNet (ICCV 2015), its release: generate_EDeconvNet_CRF_results.m"
    ),
    "deeplab_v1": Preset(5, 50, 10, 3, 3, "after", 10, "DeepLab (ICLR 2015), its release: SetupEnv.m, base model"),
    "deeplab_v1_msc": Preset(3, 95, 3, 3, 3, "after", 10, "DeepLab (ICLR 2015), its release: SetupEnv.m, DeepLab-MSc"),
    "deeplab_v1_coco": Preset(
        5, 67, 3, 3, 3, "after", 10, "DeepLab (ICLR 2015), its release: SetupEnv.m, DeepLab-COCO"
    ),
    "deeplab_v1_script": Preset(5, 50, 3, 3, 3, "after", 10, "DeepLab (ICLR 2015), its release: run_densecrf.sh"),
    "deeplab_v2_vgg16": Preset(4, 49, 5, 3, 3, "after", 10, "DeepLab v2 (PAMI 2018), VGG-16's run_densecrf.sh"),
    "deeplab_v2_resnet101": Preset(4, 67, 3, 3, 1, "symmetric", 10, "kazuto1011/deeplab-pytorch: configs/voc12.yaml"),
    "pydensecrf": Preset(10, 80, 13, 3, 3, "symmetric", 5, "pydensecrf: README.md, the example of two kernels"),
}
"""The published parameter sets. DeepLab's own program divides after filtering, DeconvNet's does not divide at all."""


def read_preset(name: str | os.PathLike[str]) -> Preset:
    """A preset by its name, or from a YAML file: a word that ends in .yaml or .yml, or holds a folder, is a file.

    Raises `InputError`, one line, for unknown names and keys, missing keys, and values of the wrong kind.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml") and len(path.parts) == 1:
        if str(name) not in PRESETS:
            raise unknown_name("CRF preset", str(name), PRESETS)
        return PRESETS[str(name)]
    values = _read(path)
    fields = dataclasses.fields(Preset)
    for key in values:
        if key not in (names := [field.name for field in fields]):
            raise InputError(f"{path}: {unknown_name('preset key', str(key), names)}")
    needed = [field.name for field in fields if field.default is dataclasses.MISSING]
    if missing := [key for key in needed if key not in values]:
        raise InputError(f"{path}: lacks the key '{missing[0]}'; a preset needs {', '.join(needed)}")
    try:
        return Preset(**values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a preset's file, or one of: {', '.join(PRESETS)}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected 'key: value' lines, got {type(values).__name__}")
    return values
