"""Systems: predictors put together from models by a file, `system.yaml`, in a directory that every verb takes as a model.

    ensemble:
      rule: mean
      of:
        - ../deconvnet
        - multi_scale: {of: ../fcn8s, scales: [0.5, 1.0]}
        - refined: {of: ../fcn8s, crf: deeplab_v1}

A node is the place of a model's directory (seen from the file's), or one key of `Node` with what it is made of.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pixelwise.errors import InputError
from pixelwise.files import write_text
from pixelwise.inference.contracts import Predictor
from pixelwise.inference.ensemble import Ensemble
from pixelwise.inference.multi_scale import PUBLISHED_SCALES, MultiScale
from pixelwise.inference.refined import Refined

SYSTEM_FILE = "system.yaml"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Node(_Part):
    """One predictor of a system: exactly one of these keys, and below it what the predictor is made of.

    whole_image  a model: its directory, run or name
    multi_scale  `of` a node, at `scales`, merged by `merge`
    ensemble     `of` nodes, combined by `rule`
    refined      `of` a node, by the dense CRF of a preset: its name, or its file's place
    """

    whole_image: str | None = None
    multi_scale: Scales | None = None
    ensemble: Members | None = None
    refined: Refinement | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Node:
        if len(given := sorted(self.model_fields_set)) != 1:
            got = " and ".join(given) or "nothing"
            raise ValueError(f"expected exactly one of {', '.join(type(self).model_fields)}, got {got}")
        return self


Of = Annotated[Node, BeforeValidator(lambda value: {"whole_image": value} if isinstance(value, str) else value)]


class Scales(_Part):
    """A predictor at several scales: see `MultiScale`."""

    of: Of
    scales: tuple[float, ...] = PUBLISHED_SCALES
    merge: str = "max"


class Members(_Part):
    """Several predictors as one: see `Ensemble`."""

    of: tuple[Of, ...] = Field(min_length=1)
    rule: str = "mean"


class Refinement(_Part):
    """A predictor with a dense CRF behind it: see `Refined` and `Preset`."""

    of: Of
    crf: str


_READER: TypeAdapter[Node] = TypeAdapter(Of)


def save_system(directory: str | os.PathLike[str], system: Node) -> None:
    """Write the directory of a system; places of models in it are seen from there, or absolute."""
    text = yaml.safe_dump(system.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    write_text(Path(directory) / SYSTEM_FILE, text)


def read_system(directory: str | os.PathLike[str]) -> Node:
    """Read a directory's `system.yaml`; `InputError`, one line, for what is no system."""
    path = Path(directory) / SYSTEM_FILE
    try:
        return _READER.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        what = f"{first['msg'].removeprefix('Value error, ')}, got {first['input']!r}"
        raise InputError(f"{path}: {where + ': ' if where else ''}{what}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from error


def places(node: Node) -> Iterator[str]:
    """The models that a system is made of, as they are named in it."""
    if node.whole_image is not None:
        yield node.whole_image
    if node.multi_scale is not None:
        yield from places(node.multi_scale.of)
    if node.ensemble is not None:
        for member in node.ensemble.of:
            yield from places(member)
    if node.refined is not None:
        yield from places(node.refined.of)


def compose(node: Node, models: Mapping[str, Predictor], folder: Path) -> Predictor:
    """The predictor that the system in `folder` spells, made of those of its `places`."""
    if node.ensemble is not None:
        return Ensemble([compose(member, models, folder) for member in node.ensemble.of], node.ensemble.rule)
    if node.multi_scale is not None:
        inner = compose(node.multi_scale.of, models, folder)
        return MultiScale(inner, node.multi_scale.scales, node.multi_scale.merge)
    if node.refined is not None:
        from pixelwise.refinement.dense_crf import DenseCRF  # brings numba, which only this needs

        near = folder / node.refined.crf
        crf = DenseCRF.preset(near if near.is_file() else node.refined.crf)
        return Refined(compose(node.refined.of, models, folder), crf)
    assert node.whole_image is not None
    return models[node.whole_image]
